/* Groups: scattered pieces in one call equal as many single calls. */
#include "check.h"

enum { PIECES = 120 };

int64_t DMI_thread(int64_t addr) {
  enter(addr);
  int64_t all = PIECES * shared.threads;
  int64_t addrs[PIECES], offsets[PIECES], sizes[PIECES], values[PIECES];
  /* My pieces: every threads-th word, listed backwards, stored forwards. */
  for (int64_t i = 0; i < PIECES; i++) {
    int64_t word = (PIECES - 1 - i) * shared.threads + rank;
    addrs[i] = shared.data[0] + 8 * word;
    offsets[i] = 8 * i;
    sizes[i] = 8;
  }
  DMI_local_group_t mine, everything;
  CHECK(DMI_group_init(&mine, addrs, offsets, sizes, PIECES));
  int64_t start = shared.data[0], zero = 0, size = 8 * all;
  CHECK(DMI_group_init(&everything, &start, &zero, &size, 1));
  int64_t *words = my_malloc(8 * all);
  for (int64_t round = 0; again(); round++)
    for (int8_t k = 0; k < 6; k++) {
      int64_t when = round * 10 + k;
      for (int64_t i = 0; i < PIECES; i++) values[i] = mix(rank, i, when);
      CHECK(DMI_group_write(&mine, values, k % 2 ? DMI_EXCLUSIVE : DMI_PUT, NULL));
      meet();
      CHECK(DMI_group_read(&everything, words, (int8_t)(DMI_GET + k % 3), NULL));
      for (int64_t w = 0; w < all; w++) CHECK(words[w] == mix(w % shared.threads, PIECES - 1 - w / shared.threads, when));
      memset(values, 0, sizeof values);
      CHECK(DMI_yield());
      DMI_local_status_t status;
      int32_t ok;
      CHECK(DMI_group_read(&mine, values, DMI_GET, &status));
      DMI_wait(&status, &ok);
      CHECK(ok);
      for (int64_t i = 0; i < PIECES; i++) CHECK(values[i] == mix(rank, i, when));
      meet();
    }
  my_free(words);
  CHECK(DMI_group_destroy(&mine));
  CHECK(DMI_group_destroy(&everything));
  return DONE;
}

void DMI_main(int argc, char **argv) {
  prepare(argc, argv);
  shared.data[0] = map(40, PIECES * shared.threads / 5 + 1); /* five words to a page */
  run_threads();
  unmap(shared.data[0]);
  finish("group");
}
