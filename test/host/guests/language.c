/* language ROUNDS FILE: what C programs do with their memory, checked in every round, so that it can be moved anywhere in
 * the middle: setjmp, alloca, deep recursion, a mapped file, mremap, getline, qsort, locale, memory grown and given back. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <locale.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>
#include <alloca.h>

#define CHECK(x) do { if (!(x)) { printf("FAILED line %d: %s\n", __LINE__, #x); fflush(stdout); _exit(1); } } while (0)

static int global = 5;
static __thread long local = 7;
static jmp_buf env;

static void jump(int depth) {
  volatile char pad[200];
  pad[depth % 200] = (char)depth;
  if (depth == 0) longjmp(env, 42);
  jump(depth - 1);
  pad[0]++;
}
static long recurse(long n) {
  volatile long here = n;
  long r = n == 0 ? 0 : 1 + recurse(n - 1);
  CHECK(here == n);
  return r;
}
static int compare(const void *a, const void *b) {
  int x = *(const int *)a, y = *(const int *)b;
  return (x > y) - (x < y);
}

int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 10;
  const char *name = argc > 2 ? argv[2] : argv[0];
  CHECK(setlocale(LC_ALL, "") != NULL);
  int fd = open(name, O_RDONLY);
  CHECK(fd >= 0);
  struct stat st;
  CHECK(fstat(fd, &st) == 0);
  const unsigned char *file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  CHECK(file != MAP_FAILED);
  unsigned long file_sum = 0;
  for (long i = 0; i < st.st_size; i++) file_sum += file[i];
  FILE *text = fopen(name, "r");
  char *line = NULL;
  size_t capacity = 0;
  for (int round = 0; round < rounds; round++) {
    while (argc > 3 && round == rounds / 2 && access(argv[3], F_OK) != 0) usleep(1000); /* GO */
    global++, local += 2;
    if (setjmp(env) == 0) jump(300);
    else CHECK(global == 6 + round);
    CHECK(recurse(3000) == 3000);
    size_t n = 1000 + (size_t)round * 37 % 5000;
    int *numbers = alloca(n * sizeof(int));
    unsigned seed = (unsigned)round;
    for (size_t i = 0; i < n; i++) numbers[i] = (int)(seed = seed * 1103515245 + 12345);
    qsort(numbers, n, sizeof(int), compare);
    for (size_t i = 1; i < n; i++) CHECK(numbers[i - 1] <= numbers[i]);

    size_t small = 3 * 4096, large = 40 * 4096;
    char *map = mmap(NULL, small, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(map != MAP_FAILED);
    memset(map, 'x', small);
    map = mremap(map, small, large, MREMAP_MAYMOVE);
    CHECK(map != MAP_FAILED && map[small - 1] == 'x' && map[small] == 0);
    memset(map + small, 'y', large - small);
    CHECK(mprotect(map, 4096, PROT_READ) == 0);
    CHECK(map[0] == 'x' && map[large - 1] == 'y');
    CHECK(mremap(map, large, 4096, 0) == map);
    CHECK(munmap(map, 4096) == 0);

    char *heap[50];
    for (int i = 0; i < 50; i++) {
      heap[i] = malloc((size_t)(i * i * 100 + 1));
      CHECK(heap[i]);
      memset(heap[i], i, (size_t)(i * i * 100 + 1));
    }
    for (int i = 0; i < 50; i++) {
      for (int k = 0; k < i * i * 100 + 1; k += 97) CHECK(heap[i][k] == i);
      free(heap[i]);
    }
    unsigned long sum = 0;
    for (long i = 0; i < st.st_size; i++) sum += file[i];
    CHECK(sum == file_sum);
    if (getline(&line, &capacity, text) < 0) rewind(text);
    wchar_t wide[8];
    CHECK(mbstowcs(wide, "\xc3\xa9t\xc3\xa9", 8) == 3 && wide[0] == 0xe9);
    CHECK(local == 7 + 2 * (round + 1));
    printf("round %d\n", round);
    fflush(stdout);
  }
  printf("done %d %ld\n", global, local);
  return 17;
}
