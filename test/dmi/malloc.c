/* DMI_malloc, DMI_realloc, DMI_free: blocks outlive their maker and may be freed by another. */
#include "check.h"

static void fill(char *buf, int64_t n, int64_t seed) {
  for (int64_t i = 0; i < n; i++) buf[i] = (char)mix(seed, i, 0);
}

int64_t DMI_thread(int64_t addr) {
  static char buf[20000], back[20000];
  enter(addr);
  while (again())
    for (int64_t i = 0; i < 6; i++) {
      int64_t size = 1 + 700 * i, page = 1 << (2 * i), mine, bigger;
      CHECK(DMI_malloc(&mine, size, page));
      fill(buf, size, rank);
      put(mine, size, buf);
      CHECK(DMI_realloc(mine, &bigger, 3 * size, page));
      get(bigger, size, back);
      CHECK(memcmp(buf, back, (size_t)size) == 0);
      put(bigger + 3 * size - 1, 1, "z");
      put_word(shared.data[0] + 8 * rank, bigger);
      CHECK(DMI_yield());
      meet();
      int64_t other = (rank + 1) % shared.threads, theirs = get_word(shared.data[0] + 8 * other);
      get(theirs, size, back);
      fill(buf, size, other);
      CHECK(memcmp(buf, back, (size_t)size) == 0);
      CHECK(DMI_free(theirs));
      meet();
      REFUSED(DMI_free(bigger), EINVAL);
    }
  int64_t x;
  REFUSED(DMI_malloc(&x, -1, 8), EINVAL);
  REFUSED(DMI_malloc(&x, 8, 0), EINVAL);
  REFUSED(DMI_free(12345), EINVAL);
  CHECK(DMI_free(DMI_NULL));
  return DONE;
}

void DMI_main(int argc, char **argv) {
  prepare(argc, argv);
  shared.data[0] = map(8, shared.threads);
  run_threads();
  unmap(shared.data[0]);
  finish("malloc");
}
