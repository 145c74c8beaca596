/* DMI_watch: blocks while a place keeps its value, gives what it became; threads pass a token round a ring with it. */
#include "check.h"

int64_t DMI_thread(int64_t addr) {
  enter(addr);
  int64_t token = shared.data[0], n = shared.threads;
  while (again()) {
    for (int64_t lap = 0; lap < 5; lap++) {
      int64_t want = ((round_number - 1) * 5 + lap) * n + rank; /* it is my turn when the token holds this */
      for (int64_t seen = get_word(token), now; seen != want; seen = now) {
        CHECK(seen < want);
        CHECK(DMI_watch(token, 8, &seen, &now, NULL));
        CHECK(now > seen);
      }
      if (lap % 2) CHECK(DMI_yield());
      if (rank % 2) put_word(token, want + 1);
      else CHECK(add_word(token, 1) == want);
    }
    int64_t wrong = -1, now; /* it differs already: no waiting */
    CHECK(DMI_watch(token, 8, &wrong, &now, NULL) && now > 0);
    meet();
  }
  return DONE;
}

void DMI_main(int argc, char **argv) {
  prepare(argc, argv);
  shared.data[0] = map(8, 1);
  run_threads();
  unmap(shared.data[0]);
  finish("watch");
}
