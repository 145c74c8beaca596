/* Schedulers: more threads than places, joined in any order, detached, from several threads at once. */
#include "check.h"

enum { BATCH = 12 };

int64_t DMI_thread(int64_t addr) {
  if (addr < 0) { /* a scheduled thread */
    for (int i = 0; i < 4; i++) CHECK(DMI_yield());
    return addr - 1;
  }
  enter(addr);
  int64_t s = shared.data[0], value;
  int32_t id[BATCH];
  while (again()) {
    for (int i = 0; i < BATCH; i++) CHECK(DMI_scheduler_create(s, &id[i], -(1000 * rank + i + 1)));
    for (int i = 0; i < BATCH; i++)
      for (int j = 0; j < i; j++) CHECK(id[i] != id[j]);
    CHECK(DMI_yield());
    for (int i = BATCH - 1; i > 0; i--) {
      CHECK(DMI_scheduler_join(s, id[i], &value));
      CHECK(value == -(1000 * rank + i + 1) - 1);
    }
    CHECK(DMI_scheduler_detach(s, id[0]));
    REFUSED(DMI_scheduler_join(s, id[0], &value), ESRCH);
    REFUSED(DMI_scheduler_join(s, id[1], &value), ESRCH);
    REFUSED(DMI_scheduler_join(s, 1 << 20, &value), ESRCH);
  }
  return DONE;
}

void DMI_main(int argc, char **argv) {
  prepare(argc, argv);
  shared.data[0] = map(sizeof(DMI_scheduler_t), 1);
  int32_t id;
  REFUSED(DMI_scheduler_create(shared.data[0], &id, 1), EINVAL); /* before init */
  CHECK(DMI_scheduler_init(shared.data[0]));
  REFUSED(DMI_scheduler_init(shared.data[0]), EEXIST);
  run_threads();
  CHECK(DMI_scheduler_destroy(shared.data[0]));
  REFUSED(DMI_scheduler_create(shared.data[0], &id, 1), EINVAL);
  unmap(shared.data[0]);
  finish("scheduler");
}
