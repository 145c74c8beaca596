/* Id pools: no id is out twice at a time, none gets lost. */
#include "check.h"

enum { IDS = 5, HOLD = 3 };

int64_t DMI_thread(int64_t addr) {
  enter(addr);
  int64_t pool = shared.data[0], holders = shared.data[1];
  int32_t max = (int32_t)shared.threads * HOLD;
  while (again()) {
    for (int i = 0; i < IDS; i++) {
      int32_t id[HOLD];
      for (int k = 0; k < HOLD; k++) {
        CHECK(DMI_idpool_get(pool, &id[k]));
        CHECK(id[k] >= 0 && id[k] < max);
        CHECK(add_word(holders + 8 * id[k], 1) == 0);
      }
      CHECK(DMI_yield());
      for (int k = 0; k < HOLD; k++) {
        CHECK(add_word(holders + 8 * id[k], -1) == 1);
        CHECK(DMI_idpool_put(pool, id[k]));
      }
    }
    meet();
    if (rank == 0) {
      int32_t id;
      for (int k = 0; k < max; k++) CHECK(DMI_idpool_get(pool, &id)); /* all are back */
      REFUSED(DMI_idpool_get(pool, &id), EAGAIN);
      for (int k = 0; k < max; k++) CHECK(DMI_idpool_put(pool, k));
      REFUSED(DMI_idpool_put(pool, 0), EINVAL);
      REFUSED(DMI_idpool_put(pool, max), EINVAL);
    }
    meet();
  }
  return DONE;
}

void DMI_main(int argc, char **argv) {
  prepare(argc, argv);
  shared.data[0] = map(sizeof(DMI_idpool_t), 1);
  shared.data[1] = map(8, shared.threads * HOLD);
  int32_t id;
  REFUSED(DMI_idpool_get(shared.data[0], &id), EINVAL);
  CHECK(DMI_idpool_init(shared.data[0], (int32_t)shared.threads * HOLD));
  run_threads();
  CHECK(DMI_idpool_destroy(shared.data[0]));
  unmap(shared.data[0]);
  unmap(shared.data[1]);
  finish("idpool");
}
