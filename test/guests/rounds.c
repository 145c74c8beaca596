/* rounds 0 FILE: in every round each thread fills a page, and reads and checks those of all others; the first one says which round it
 * was. Until FILE is there; 5 ms apart, to leave the machine to others. */
#include "../dmi/check.h"

enum { WORDS = 512 };

int64_t DMI_thread(int64_t addr) {
  enter(addr);
  int64_t page[WORDS];
  const int64_t bytes = sizeof page;
  for (int64_t round = 0; again(); round++) {
    for (int i = 0; i < WORDS; i++) page[i] = round * 1000 + rank;
    put(shared.data[0] + rank * bytes, bytes, page);
    add_word(shared.data[1], 1);
    meet();
    for (int64_t who = 0; who < shared.threads; who++) {
      get(shared.data[0] + who * bytes, bytes, page);
      for (int i = 0; i < WORDS; i++) CHECK(page[i] == round * 1000 + who);
    }
    CHECK(get_word(shared.data[1]) == (round + 1) * shared.threads);
    if (rank == 0) outn("round %ld", (long)round);
    meet(); /* all have looked */
    usleep(5000);
  }
  return DONE;
}

void DMI_main(int argc, char **argv) {
  prepare(argc, argv);
  shared.data[0] = map(WORDS * sizeof(int64_t), shared.threads);
  shared.data[1] = map(sizeof(int64_t), 1);
  run_threads();
  finish("rounds");
}
