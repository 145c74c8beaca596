/* hammer SECONDS [FILE]: threads hammer counters, locks, cached pages and barriers for SECONDS, or until FILE is there, and at least
 * 304 steps, each checking what it sees, while whoever started the program lets nodes come and go and moves threads. The totals
 * are exact. */
#include "check.h"

enum { kCells = 64, kSlots = 16 };

static int64_t counters, locks, table, barrier_addr; /* private to each thread: filled in from the argument's page */

struct places {
  int64_t counters; /* kCells of int64, one page each */
  int64_t locks;    /* kCells mutexes, one page each */
  int64_t table;    /* kSlots pages of 64 int64: every word of a page is the same number */
  int64_t barrier;
  int64_t threads;
  double until; /* get_time() */
  char over[128]; /* a file that ends it sooner */
};

static uint64_t next_random(uint64_t *s) { return *s = *s * 6364136223846793005u + 1442695040888963407u, *s >> 33; }

int64_t DMI_thread(int64_t arg) {
  struct places s;
  CHECK(DMI_read(arg, sizeof s, &s, DMI_GET, NULL));
  counters = s.counters, locks = s.locks, table = s.table, barrier_addr = s.barrier;
  DMI_thread_t self;
  DMI_self(&self);
  uint64_t random = ((uint64_t)(uint32_t)self.dmi_id << 20) + (uint64_t)self.thread_id + 12345;
  DMI_local_barrier_t barrier;
  CHECK(DMI_local_barrier_init(&barrier, barrier_addr));
  int64_t added = 0;
  for (int64_t step = 0, over = 0; !over; step++) {
    for (int k = 0; k < 6; k++) {
      const int64_t cell = (int64_t)(next_random(&random) % kCells);
      switch (next_random(&random) % 4) {
        case 0: { /* an atomic addition, at the owner or here */
          int64_t old;
          CHECK(DMI_fad(counters + 8 * cell, 1, &old, next_random(&random) % 2 ? DMI_PUT : DMI_EXCLUSIVE, NULL));
          CHECK(old >= 0);
          added++;
          break;
        }
        case 1: { /* the same under a lock, by reading and writing */
          int64_t v;
          CHECK(DMI_mutex_lock(locks + (int64_t)sizeof(DMI_mutex_t) * cell));
          CHECK(DMI_read(counters + 8 * (kCells + cell), 8, &v, next_random(&random) % 2 ? DMI_GET : DMI_INVALIDATE, NULL));
          v++;
          CHECK(DMI_write(counters + 8 * (kCells + cell), 8, &v, next_random(&random) % 2 ? DMI_PUT : DMI_EXCLUSIVE, NULL));
          CHECK(DMI_mutex_unlock(locks + (int64_t)sizeof(DMI_mutex_t) * cell));
          added++;
          break;
        }
        case 2: { /* a whole page is read: never torn */
          int64_t page[64];
          const int64_t slot = cell % kSlots;
          const int8_t modes[] = {DMI_GET, DMI_INVALIDATE, DMI_UPDATE};
          CHECK(DMI_read(table + slot * (int64_t)sizeof page, sizeof page, page, modes[next_random(&random) % 3], NULL));
          for (int i = 1; i < 64; i++) CHECK(page[i] == page[0]);
          break;
        }
        default: { /* and written whole */
          int64_t page[64];
          const int64_t slot = cell % kSlots, value = (int64_t)next_random(&random);
          for (int i = 0; i < 64; i++) page[i] = value;
          CHECK(DMI_write(table + slot * (int64_t)sizeof page, sizeof page, page, next_random(&random) % 2 ? DMI_PUT : DMI_EXCLUSIVE, NULL));
        }
      }
    }
    if (step % 8 == 0) {
      int64_t one = 1, all = 0;
      CHECK(DMI_local_barrier_allreduce(&barrier, (int32_t)s.threads, &one, &all, DMI_OP_SUM, DMI_TYPE_LONGLONG));
      CHECK(all == s.threads);
      int64_t enough = step >= 304 && (get_time() >= s.until || (s.over[0] && access(s.over, F_OK) == 0));
      CHECK(DMI_local_barrier_allreduce(&barrier, (int32_t)s.threads, &enough, &over, DMI_OP_MAX, DMI_TYPE_LONGLONG));
    }
    DMI_yield();
  }
  CHECK(DMI_local_barrier_destroy(&barrier));
  return added;
}

void DMI_main(int argc, char **argv) {
  const char *n = getenv("DMI_THREADS");
  struct places s = {0};
  s.threads = n ? atoi(n) : 4;
  s.until = get_time() + (argc > 1 ? atof(argv[1]) : 0);
  snprintf(s.over, sizeof s.over, "%s", argc > 2 ? argv[2] : "");
  int64_t arg;
  CHECK(DMI_mmap(&arg, sizeof s, 1, NULL));
  CHECK(DMI_mmap(&s.counters, 8, 2 * kCells, NULL));
  CHECK(DMI_mmap(&s.locks, sizeof(DMI_mutex_t), kCells, NULL));
  CHECK(DMI_mmap(&s.table, 512, kSlots, NULL));
  CHECK(DMI_mmap(&s.barrier, sizeof(DMI_barrier_t), 1, NULL));
  for (int i = 0; i < kCells; i++) CHECK(DMI_mutex_init(s.locks + (int64_t)sizeof(DMI_mutex_t) * i));
  CHECK(DMI_barrier_init(s.barrier));
  CHECK(DMI_write(arg, sizeof s, &s, DMI_PUT, NULL));
  DMI_thread_t *threads = malloc(sizeof *threads * (size_t)s.threads);
  for (int64_t i = 0; i < s.threads; i++) CHECK(DMI_create(&threads[i], -1, arg, 0, NULL));
  int64_t expected = 0, total = 0;
  for (int64_t i = 0; i < s.threads; i++) {
    int64_t added = 0;
    CHECK(DMI_join(threads[i], &added, NULL));
    expected += added;
  }
  for (int i = 0; i < 2 * kCells; i++) {
    int64_t v;
    CHECK(DMI_read(s.counters + 8 * i, 8, &v, DMI_GET, NULL));
    total += v;
  }
  CHECK(total == expected && total > 0);
  outn("ok hammer");
}
