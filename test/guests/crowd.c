/* crowd one-by-one N FILE | at-once N: N threads of this program, one after the other or alive at the same time, on one node. One by one it
 * waits for FILE.1 after a tenth and for FILE.2 at the end. At once
 * it goes on with as many as there is room for, and says why there are no more. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dmi_api.h"

#define CHECK(x) do { if (!(x)) { printf("FAILED line %d: %s\n", __LINE__, DMI_error()); exit(1); } } while (0)

struct shared { int64_t live, open; };

int64_t DMI_thread(int64_t addr) {
  if (addr < 0) return -addr;
  int64_t before, closed = 0, opened;
  CHECK(DMI_fad(addr, 1, &before, DMI_PUT, NULL));
  CHECK(DMI_watch(addr + 8, sizeof closed, &closed, &opened, NULL));
  return opened;
}

static void one_by_one(int n, int32_t here, const char *file) {
  int waits = 0;
  char go[4096];
  for (int i = 1; i <= n; i++) {
    DMI_thread_t thread;
    int64_t result;
    CHECK(DMI_create(&thread, here, -i, 0, NULL));
    CHECK(DMI_join(thread, &result, NULL));
    CHECK(result == i);
    if (i == n / 10 || i == n) {
      printf("%d threads have been\n", i);
      fflush(stdout);
      snprintf(go, sizeof go, "%s.%d", file, ++waits);
      while (access(go, F_OK) != 0) usleep(10000);
    }
  }
}

static void at_once(int n, int32_t here) {
  struct shared zero = {0, 0};
  int64_t addr, one = 1, live = 0;
  DMI_thread_t *threads = calloc((size_t)n, sizeof *threads);
  CHECK(threads && DMI_mmap(&addr, sizeof zero, 1, NULL) && DMI_write(addr, sizeof zero, &zero, DMI_PUT, NULL));
  for (int i = 0; i < n; i++)
    if (!DMI_create(&threads[i], here, addr, 0, NULL)) {
      printf("no more: %s\n", DMI_error());
      n = i;
    }
  while (live < n) {
    usleep(10000);
    CHECK(DMI_read(addr, sizeof live, &live, DMI_GET, NULL));
  }
  CHECK(DMI_write(addr + 8, sizeof one, &one, DMI_PUT, NULL));
  for (int i = 0; i < n; i++) {
    int64_t result;
    CHECK(DMI_join(threads[i], &result, NULL));
    CHECK(result == 1);
  }
  printf("%d threads were alive\n", n);
}

void DMI_main(int argc, char **argv) {
  int32_t here;
  if (argc < 3) exit(2);
  CHECK(DMI_rank(&here));
  if (strcmp(argv[1], "at-once") == 0) at_once(atoi(argv[2]), here);
  else one_by_one(atoi(argv[2]), here, argc > 3 ? argv[3] : "/");
}
