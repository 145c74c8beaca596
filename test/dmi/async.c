/* Asynchronous calls: many in flight, over yields and moves; a status is busy until its call is done. */
#include "check.h"

enum { CALLS = 64 };

int64_t DMI_thread(int64_t addr) {
  enter(addr);
  int64_t mine = shared.data[0] + rank * CALLS * 8, values[CALLS], back[CALLS], fetched[CALLS];
  DMI_local_status_t status[CALLS];
  int32_t ok;
  while (again()) {
    for (int i = 0; i < CALLS; i++) {
      values[i] = mix(rank, round_number, i);
      CHECK(DMI_write(mine + 8 * i, 8, &values[i], i % 2 ? DMI_EXCLUSIVE : DMI_PUT, &status[i]));
    }
    CHECK(DMI_yield());
    for (int i = CALLS - 1; i >= 0; i--) {
      if (i % 2)
        while (!DMI_check(&status[i], &ok)) CHECK(DMI_yield());
      else DMI_wait(&status[i], &ok);
      CHECK(ok);
    }
    for (int i = 0; i < CALLS; i++) CHECK(DMI_read(mine + 8 * i, 8, &back[i], DMI_GET, &status[i]));
    for (int i = 0; i < CALLS; i++) {
      DMI_wait(&status[i], &ok);
      CHECK(ok && back[i] == values[i]);
    }
    for (int i = 0; i < CALLS; i++) CHECK(DMI_fad(shared.data[1], 1, &fetched[i], DMI_PUT, &status[i]));
    for (int i = 0; i < CALLS; i++) {
      DMI_wait(&status[i], &ok);
      CHECK(ok && fetched[i] >= 0);
      for (int j = 0; j < i; j++) CHECK(fetched[i] != fetched[j]);
    }
    meet();
    CHECK(get_word(shared.data[1]) == round_number * CALLS * shared.threads);
    /* A call that fails says so at the end; the status can be used again. */
    int64_t page;
    CHECK(DMI_mmap(&page, 8, 1, &status[0]));
    DMI_wait(&status[0], &ok);
    CHECK(ok && page > 0);
    CHECK(DMI_munmap(page, &status[0]));
    DMI_wait(&status[0], &ok);
    CHECK(ok);
    int32_t started = DMI_read(page, 8, &back[0], DMI_GET, &status[0]);
    if (started) {
      DMI_wait(&status[0], &ok);
      CHECK(!ok);
    }
    CHECK(errno == EFAULT);
    /* A call that cannot end yet keeps its status. */
    int64_t zero = 0, now;
    int64_t word = shared.data[2] + 8 * rank;
    CHECK(DMI_watch(word, 8, &zero, &now, &status[1]));
    CHECK(!DMI_check(&status[1], &ok));
    REFUSED(DMI_read(mine, 8, &back[0], DMI_GET, &status[1]), EBUSY);
    put_word(word, 5);
    DMI_wait(&status[1], &ok);
    CHECK(ok && now == 5);
    put_word(word, 0);
    meet();
  }
  return DONE;
}

void DMI_main(int argc, char **argv) {
  prepare(argc, argv);
  shared.data[0] = map(48, CALLS * shared.threads / 6 + 1);
  shared.data[1] = map(8, 1);
  shared.data[2] = map(8, shared.threads);
  run_threads();
  for (int i = 0; i < 3; i++) unmap(shared.data[i]);
  finish("async");
}
