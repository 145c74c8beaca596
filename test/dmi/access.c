/* Reads and writes of all modes by all threads: after a barrier everybody sees what everybody wrote, whatever was cached
 * before; and a page is written as a whole. */
#include "check.h"

enum { WORDS = 24, PAGES = 5, PAGE = 200 }; /* PAGE bytes: words straddle page borders */

static void fill(int64_t *words, int64_t who, int64_t when) {
  for (int i = 0; i < WORDS * PAGES; i++) words[i] = mix(who, when, i);
}

int64_t DMI_thread(int64_t addr) {
  static const int8_t reads[] = {DMI_GET, DMI_INVALIDATE, DMI_UPDATE}, writes[] = {DMI_PUT, DMI_EXCLUSIVE};
  enter(addr);
  int64_t words[WORDS * PAGES], want[WORDS * PAGES], bytes = sizeof words;
  for (int64_t round = 0; again(); round++)
    for (int64_t phase = 0; phase < 12; phase++) {
      /* The writer of a region changes from phase to phase, so ownership moves. */
      int64_t region = (rank + phase) % shared.threads, when = round * 100 + phase;
      fill(words, region, when);
      CHECK(DMI_write(shared.data[0] + region * bytes, bytes, words, writes[(rank + phase / 2) % 2], NULL));
      meet();
      for (int64_t i = 0; i < shared.threads; i++) {
        int64_t other = (rank + i) % shared.threads;
        CHECK(DMI_read(shared.data[0] + other * bytes, bytes, words, reads[(i + phase) % 3], NULL));
        fill(want, other, when);
        CHECK(memcmp(words, want, sizeof words) == 0);
        if (i % 3 == 0) CHECK(DMI_yield());
      }
      /* One page that all write at once: whoever was last, the page is of one piece. */
      for (int i = 0; i < WORDS; i++) words[i] = when * 1000 + rank;
      CHECK(DMI_write(shared.data[1], sizeof(int64_t) * WORDS, words, writes[phase % 2], NULL));
      CHECK(DMI_read(shared.data[1], sizeof(int64_t) * WORDS, words, reads[phase % 3], NULL));
      for (int i = 1; i < WORDS; i++) CHECK(words[i] == words[0]);
      CHECK(words[0] / 1000 == when);
      meet();
    }
  return DONE;
}

void DMI_main(int argc, char **argv) {
  prepare(argc, argv);
  int64_t bytes = WORDS * PAGES * 8 * shared.threads;
  shared.data[0] = map(PAGE, (bytes + PAGE - 1) / PAGE);
  shared.data[1] = map(WORDS * 8, 1);
  run_threads();
  unmap(shared.data[0]);
  unmap(shared.data[1]);
  finish("access");
}
