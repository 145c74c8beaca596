/* Mutexes and allreduces without rest: transfers between accounts, each under the locks of both, never change the total, and the
 * total of what every thread says it moved is what the accounts hold. */
#include "app.h"

enum { ACCOUNTS = 12, TRANSFERS = 40, EVERY = 5, FUNDS = 1000000 };

static int64_t lock_of(int64_t i) { return shared.data[0] + i * (int64_t)sizeof(DMI_mutex_t); }
static int64_t account(int64_t i) { return shared.data[1] + 8 * i; }

static void add_to(int64_t i, int64_t amount, int exclusive) {
  int64_t x;
  CHECK(DMI_read(account(i), 8, &x, exclusive ? DMI_INVALIDATE : DMI_GET, NULL));
  x += amount;
  CHECK(DMI_write(account(i), 8, &x, exclusive ? DMI_EXCLUSIVE : DMI_PUT, NULL));
}

/* Every second one tries before it waits. Always the smaller one first, so that nobody waits in a circle. */
static void lock(int64_t i, int try) {
  int32_t locked = 0;
  if (try) CHECK(DMI_mutex_trylock(lock_of(i), &locked));
  if (!locked) CHECK(DMI_mutex_lock(lock_of(i)));
}

int64_t DMI_thread(int64_t addr) {
  enter(addr);
  const int32_t n = (int32_t)shared.threads;
  int64_t moved[ACCOUNTS] = {0};
  for (int64_t step = 0; again();) {
    for (int i = 0; i < TRANSFERS; i++, step++) {
      const uint64_t r = random_bits(rank, step);
      const int64_t from = (int64_t)(r % ACCOUNTS), to = (from + 1 + (int64_t)(r >> 8) % (ACCOUNTS - 1)) % ACCOUNTS, amount = (int64_t)(r >> 16 & 1023);
      lock(MIN(from, to), i % 2);
      lock(MAX(from, to), i % 2);
      add_to(from, -amount, r >> 40 & 1);
      if (i % 7 == 0) CHECK(DMI_yield()); /* moved with locks held */
      add_to(to, amount, r >> 41 & 1);
      CHECK(DMI_mutex_unlock(lock_of(from)));
      CHECK(DMI_mutex_unlock(lock_of(to)));
      moved[from] -= amount, moved[to] += amount;
      if (i % EVERY) continue;
      int64_t all, most;
      CHECK(DMI_local_barrier_allreduce(&barrier, n, &step, &all, DMI_OP_SUM, DMI_TYPE_LONGLONG));
      CHECK(all == n * step); /* nobody is ahead */
    }
    for (int i = 0; i < ACCOUNTS; i++) {
      int64_t all;
      CHECK(DMI_local_barrier_allreduce(&barrier, n, &moved[i], &all, DMI_OP_SUM, DMI_TYPE_LONGLONG));
      CHECK(get_word(account(i)) == FUNDS + all);
    }
    meet(); /* all have looked */
  }
  return DONE;
}

void DMI_main(int argc, char **argv) {
  start(argc, argv);
  shared.data[0] = map(sizeof(DMI_mutex_t), ACCOUNTS);
  shared.data[1] = map(8, ACCOUNTS);
  for (int i = 0; i < ACCOUNTS; i++) {
    CHECK(DMI_mutex_init(lock_of(i)));
    put_word(account(i), FUNDS);
  }
  run_to_end("stress", 2);
}
