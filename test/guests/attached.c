/* attached: a job that another program attaches to. It maps 100 numbers over small pages, prints where things are, and then takes turns
 * with that program through the word `turn`, which each of the two moves on for the other. */
#include <stdio.h>
#include <stdlib.h>

#include "dmi_api.h"

#define NUMBERS 100
#define ROUNDS 50
#define CHECK(so)                                                                    \
  do {                                                                               \
    if (!(so)) {                                                                     \
      fprintf(stderr, "attached.c:%d: %s: %s\n", __LINE__, #so, DMI_error());        \
      exit(1);                                                                       \
    }                                                                                \
  } while (0)

static int64_t map(int64_t page_size, int64_t pages) {
  int64_t address;
  CHECK(DMI_mmap(&address, page_size, pages, NULL));
  return address;
}

static void until(int64_t turn, int64_t wanted) {
  for (int64_t now = 0; now < wanted;) {
    int64_t then = now;
    CHECK(DMI_watch(turn, sizeof then, &then, &now, NULL));
  }
}

static void next(int64_t turn, int64_t value) { CHECK(DMI_write(turn, sizeof value, &value, DMI_PUT, NULL)); }

void DMI_main(int argc, char **argv) {
  (void)argc, (void)argv;
  const int64_t numbers = map(64, NUMBERS / 8 + 1), turn = map(8, 1), counter = map(8, 1), mutex = map(sizeof(DMI_mutex_t), 1),
                meeting = map(sizeof(DMI_barrier_t), 1);
  double values[NUMBERS];
  for (int i = 0; i < NUMBERS; i++) values[i] = i / 2.0;
  CHECK(DMI_write(numbers, sizeof values, values, DMI_PUT, NULL));
  CHECK(DMI_mutex_init(mutex) && DMI_barrier_init(meeting));
  printf("%lld %lld %lld %lld %lld\n", (long long)numbers, (long long)turn, (long long)counter, (long long)mutex, (long long)meeting);
  fflush(stdout);

  until(turn, 1); /* it has written three numbers */
  CHECK(DMI_read(numbers, sizeof values, values, DMI_GET, NULL));
  CHECK(values[7] == -1 && values[8] == -2 && values[99] == -3 && values[9] == 4.5);

  next(turn, 2); /* both count, without atomic operations, under the mutex */
  for (int i = 0; i < ROUNDS; i++) {
    int64_t n;
    CHECK(DMI_mutex_lock(mutex));
    CHECK(DMI_read(counter, sizeof n, &n, DMI_GET, NULL));
    n++;
    CHECK(DMI_write(counter, sizeof n, &n, DMI_PUT, NULL));
    CHECK(DMI_mutex_unlock(mutex));
  }
  until(turn, 3);

  CHECK(DMI_mutex_lock(mutex)); /* and is waited for in vain */
  next(turn, 4);
  until(turn, 5);
  CHECK(DMI_mutex_unlock(mutex));

  DMI_local_barrier_t local;
  CHECK(DMI_local_barrier_init(&local, meeting));
  CHECK(DMI_local_barrier_sync(&local, 2));
  double mine = 1.5, sum = 0;
  CHECK(DMI_local_barrier_allreduce(&local, 2, &mine, &sum, DMI_OP_SUM, DMI_TYPE_DOUBLE));
  CHECK(sum == 4);
  until(turn, 6);
  puts("done");
}
