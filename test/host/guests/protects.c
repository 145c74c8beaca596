/* protects GO END: areas of memory whose protection it changes all the time, and whose contents it writes and checks where that permits
 * it, until the file GO exists. Then it protects each in a way of its own, prints "ADDRESS SIZE PROTECTION" of each, waits for the file
 * END, and checks all contents. */
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { AREAS = 16, SIZE = 1 << 20, PAGE = 4096 };

static const int protections[] = {PROT_READ | PROT_WRITE, PROT_READ, PROT_NONE, PROT_READ | PROT_EXEC};
static uint64_t *areas[AREAS];
static uint64_t written[AREAS];

static uint64_t value(int area, size_t page) { return written[area] * 1000003 + (uint64_t)area * 1009 + page; }

static void write_area(int area) {
  written[area]++;
  for (size_t page = 0; page < SIZE / PAGE; page++) areas[area][page * PAGE / 8] = value(area, page);
}

static void check_area(int area) {
  for (size_t page = 0; page < SIZE / PAGE; page++)
    if (areas[area][page * PAGE / 8] != value(area, page)) _exit(96);
}

static void protect(int area, int protection) {
  if (mprotect(areas[area], SIZE, protection) != 0) _exit(97);
}

int main(int argc, char **argv) {
  if (argc != 3) return 99;
  char *all = mmap(NULL, (size_t)2 * AREAS * SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) return 98;
  for (int i = 0; i < AREAS; i++) {
    areas[i] = (uint64_t *)(all + (size_t)2 * i * SIZE); /* apart: a mapping each, whatever their protection */
    protect(i, PROT_READ | PROT_WRITE);
    write_area(i);
  }
  unsigned seed = 1;
  for (size_t round = 0; round % 64 || access(argv[1], F_OK) != 0; round++) {
    const int area = (int)((seed = seed * 1103515245 + 12345) >> 16) % AREAS;
    const int protection = protections[(seed >> 8) % 4];
    protect(area, protection);
    if (protection & PROT_READ) check_area(area);
    if (protection & PROT_WRITE) write_area(area);
  }
  for (int i = 0; i < AREAS; i++) {
    protect(i, protections[i % 4]);
    printf("%lx %x %d\n", (unsigned long)areas[i], SIZE, protections[i % 4]);
  }
  fflush(stdout);
  while (access(argv[2], F_OK) != 0) usleep(1000);
  for (int i = 0; i < AREAS; i++) {
    protect(i, PROT_READ);
    check_area(i);
  }
  return 7;
}
