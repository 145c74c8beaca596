/* Mutexes, conditions, spin locks: exclusion, no lost wake-up, errors. */
#include "check.h"

enum { TIMES = 20, ROOM = 3 };
struct buffer { int64_t put, taken, items[ROOM]; };

static void count_under(int32_t (*lock)(int64_t), int32_t (*unlock)(int64_t), int64_t object, int64_t word) {
  for (int i = 0; i < TIMES; i++) {
    CHECK(lock(object));
    int64_t x = get_word(word);
    if (i % 5 == 0) CHECK(DMI_yield()); /* holding it, perhaps over a move */
    put_word(word, x + 1);
    CHECK(unlock(object));
    if (i % 3 == 0) CHECK(DMI_yield());
  }
}

/* Half of the threads produce, the others consume, through a buffer of three places. */
static void produce_or_consume(void) {
  int64_t mutex = shared.data[1], not_full = shared.data[2], not_empty = shared.data[3], where = shared.data[4];
  int64_t pairs = shared.threads / 2;
  if (rank >= 2 * pairs) return;
  struct buffer b;
  for (int64_t i = 0; i < TIMES; i++) {
    CHECK(DMI_mutex_lock(mutex));
    if (rank % 2 == 0) {
      for (get(where, sizeof b, &b); b.put - b.taken == ROOM; get(where, sizeof b, &b)) CHECK(DMI_cond_wait(not_full, mutex));
      b.items[b.put++ % ROOM] = 1000 * rank + i;
      put(where, sizeof b, &b);
      CHECK(DMI_cond_signal(not_empty));
    } else {
      for (get(where, sizeof b, &b); b.put == b.taken; get(where, sizeof b, &b)) CHECK(DMI_cond_wait(not_empty, mutex));
      int64_t item = b.items[b.taken++ % ROOM];
      put(where, sizeof b, &b);
      CHECK(DMI_cond_signal(not_full));
      add_word(shared.data[5], item);
    }
    CHECK(DMI_mutex_unlock(mutex));
  }
}

/* All but rank 0 wait for one broadcast. */
static void wait_for_broadcast(void) {
  int64_t mutex = shared.data[1], gate = shared.data[6], open = shared.data[7];
  if (rank == 0) {
    CHECK(DMI_yield());
    CHECK(DMI_mutex_lock(mutex));
    put_word(open, round_number);
    CHECK(DMI_cond_broadcast(gate));
    CHECK(DMI_mutex_unlock(mutex));
  } else {
    CHECK(DMI_mutex_lock(mutex));
    while (get_word(open) != round_number) CHECK(DMI_cond_wait(gate, mutex));
    CHECK(DMI_mutex_unlock(mutex));
  }
}

/* All try at once: one gets it, and nobody else can give it back. */
static void one_gets(int32_t (*trylock)(int64_t, int32_t *), int32_t (*unlock)(int64_t), int64_t object, int64_t word) {
  int32_t mine = -1;
  CHECK(trylock(object, &mine));
  CHECK(mine == TRUE || mine == FALSE);
  if (mine) add_word(word, 1);
  meet();
  CHECK(get_word(word) == 1);
  meet();
  if (mine) {
    put_word(word, 0);
    CHECK(unlock(object));
  } else {
    REFUSED(unlock(object), EPERM);
  }
  meet();
}

int64_t DMI_thread(int64_t addr) {
  enter(addr);
  int64_t word = shared.data[0], mutex = shared.data[1], spin = shared.data[8];
  while (again()) {
    count_under(DMI_mutex_lock, DMI_mutex_unlock, mutex, word);
    meet();
    CHECK(get_word(word) == TIMES * shared.threads);
    meet();
    count_under(DMI_spin_lock, DMI_spin_unlock, spin, word);
    meet();
    CHECK(get_word(word) == 2 * TIMES * shared.threads);
    meet();
    if (rank == 0) put_word(word, 0);
    produce_or_consume();
    wait_for_broadcast();
    meet();
    int64_t pairs = shared.threads / 2, want = 0;
    for (int64_t p = 0; p < pairs; p++) want += TIMES * 2000 * p + TIMES * (TIMES - 1) / 2;
    CHECK(get_word(shared.data[5]) == want);
    one_gets(DMI_mutex_trylock, DMI_mutex_unlock, mutex, word);
    one_gets(DMI_spin_trylock, DMI_spin_unlock, spin, word);
    if (rank == 0) put_word(shared.data[5], 0);
    meet();
  }
  return DONE;
}

void DMI_main(int argc, char **argv) {
  prepare(argc, argv);
  shared.data[0] = map(8, 1);
  shared.data[1] = map(sizeof(DMI_mutex_t), 1);
  shared.data[2] = map(sizeof(DMI_cond_t), 3);
  shared.data[3] = shared.data[2] + (int64_t)sizeof(DMI_cond_t);
  shared.data[6] = shared.data[3] + (int64_t)sizeof(DMI_cond_t);
  shared.data[4] = map(sizeof(struct buffer), 1);
  shared.data[5] = map(8, 1);
  shared.data[7] = map(8, 1);
  shared.data[8] = map(sizeof(DMI_spinlock_t), 1);
  CHECK(DMI_mutex_init(shared.data[1]));
  REFUSED(DMI_mutex_init(shared.data[1]), EEXIST);
  CHECK(DMI_cond_init(shared.data[2]) && DMI_cond_init(shared.data[3]) && DMI_cond_init(shared.data[6]));
  CHECK(DMI_spin_init(shared.data[8]));
  run_threads();
  CHECK(DMI_mutex_destroy(shared.data[1]) && DMI_cond_destroy(shared.data[2]) && DMI_cond_destroy(shared.data[3]));
  CHECK(DMI_cond_destroy(shared.data[6]) && DMI_spin_destroy(shared.data[8]));
  CHECK(DMI_mutex_init(shared.data[1]) && DMI_mutex_lock(shared.data[1]));
  CHECK(DMI_mutex_unlock(shared.data[1]) && DMI_mutex_destroy(shared.data[1]));
  /* The initialisers, written over the address, do as well as the calls. */
  CHECK(DMI_write(shared.data[1], sizeof DMI_MUTEX_INITIALIZER, &DMI_MUTEX_INITIALIZER, DMI_PUT, NULL));
  CHECK(DMI_mutex_lock(shared.data[1]) && DMI_mutex_unlock(shared.data[1]));
  CHECK(DMI_write(shared.data[2], sizeof DMI_COND_INITIALIZER, &DMI_COND_INITIALIZER, DMI_PUT, NULL));
  CHECK(DMI_cond_signal(shared.data[2]) && DMI_cond_broadcast(shared.data[2]) && DMI_cond_destroy(shared.data[2]));
  for (int i = 0; i < 9; i++)
    if (i != 3 && i != 6) unmap(shared.data[i]);
  finish("mutex");
}
