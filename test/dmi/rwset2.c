/* rwset2: elements on the border of two domains are written by both in turn; what a domain reads is contiguous. */
#include "check.h"

enum { PER = 40, OVERLAP = 8 };

int64_t DMI_thread(int64_t addr) {
  enter(addr);
  int64_t set = shared.data[0], n = shared.threads, all = PER * n;
  while (again()) {
    if (rank == 0) CHECK(DMI_rwset2_init(set, all, 8, (int32_t)n));
    meet();
    /* Domain d owns PER elements and shares the first OVERLAP of its successor; it reads every third element of all. */
    int64_t writes[PER + OVERLAP], reads[PER * n / 3 + 1], in_values[PER * n / 3 + 1], out_values[PER + OVERLAP];
    int32_t nw = 0, nr = 0;
    for (int64_t i = 0; i < PER + (n > 1 ? OVERLAP : 0); i++) writes[nw++] = (rank * PER + i) % all;
    for (int64_t e = all - 1 - rank % 3; e >= 0; e -= 3) reads[nr++] = e;
    CHECK(DMI_rwset2_decompose(set, rank, writes, nw, reads, nr));
    DMI_local_rwset2_t local;
    CHECK(DMI_local_rwset2_init(&local, set, rank));
    for (int64_t step = 0; step < 4; step++) {
      /* Even threads write first, odd ones after a barrier: a shared element holds what the odd one wrote. With an odd number of
       * threads the last and the first are both even: they agree on the value. */
      for (int parity = 0; parity < 2; parity++) {
        if (rank % 2 == parity) {
          for (int i = 0; i < nw; i++) out_values[i] = mix(writes[i], step, parity);
          CHECK(DMI_local_rwset2_write(&local, out_values, NULL));
        }
        meet();
      }
      CHECK(DMI_yield());
      CHECK(DMI_local_rwset2_read(&local, in_values, NULL));
      for (int i = 0; i < nr; i++) {
        int64_t owner = reads[i] / PER, before = (owner + n - 1) % n;
        int odd = owner % 2 || (n > 1 && reads[i] % PER < OVERLAP && before % 2);
        CHECK(in_values[i] == mix(reads[i], step, odd));
      }
      meet();
    }
    CHECK(DMI_local_rwset2_destroy(&local));
    meet();
    if (rank == 0) CHECK(DMI_rwset2_destroy(set));
  }
  return DONE;
}

void DMI_main(int argc, char **argv) {
  prepare(argc, argv);
  shared.data[0] = map(sizeof(DMI_rwset2_t), 1);
  run_threads();
  unmap(shared.data[0]);
  finish("rwset2");
}
