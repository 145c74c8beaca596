/* Pinned pages stay what they are: readable, writable, coherent; unpinning gives them back. */
#include "check.h"

int64_t DMI_thread(int64_t addr) {
  enter(addr);
  int64_t a = shared.data[0];
  while (again()) {
    CHECK(DMI_save(a + 100 * rank, 100));
    put_word(a + 100 * rank, mix(rank, round_number, 0));
    meet();
    for (int64_t i = 0; i < shared.threads; i++) {
      int64_t x;
      CHECK(DMI_read(a + 100 * i, 8, &x, i % 2 ? DMI_INVALIDATE : DMI_UPDATE, NULL));
      CHECK(x == mix(i, round_number, 0));
    }
    CHECK(DMI_yield());
    CHECK(DMI_unsave(a + 100 * rank, 100));
    meet();
  }
  return DONE;
}

void DMI_main(int argc, char **argv) {
  prepare(argc, argv);
  shared.data[0] = map(100, shared.threads);
  CHECK(DMI_save(shared.data[0], 100 * shared.threads) && DMI_unsave(shared.data[0], 8));
  REFUSED(DMI_save(shared.data[0], 100 * shared.threads + 1), EFAULT);
  run_threads();
  unmap(shared.data[0]);
  finish("save");
}
