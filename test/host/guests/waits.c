/* waits ROUNDS: a thread for each way of waiting in the global memory; main lets them go one round at a time, slowly, so that they can be moved while they
 * wait. Each counts its rounds privately; what they give must fit. */
#include <stddef.h>
#include <time.h>
#include <unistd.h>

#include "dmi_api.h"

enum { MUTEX, BARRIER, ASYNC, SLEEPER, KINDS };
struct shared {
  int64_t rounds, mutex, barrier, page, kind, ready;
};
static struct shared s;
static int64_t at;

#define CHECK(x) do { if (!(x)) { printf("FAILED line %d: %s (%s)\n", __LINE__, #x, DMI_error()); fflush(stdout); __builtin_trap(); } } while (0)

static int64_t word(int64_t addr) {
  int64_t v = 0;
  CHECK(DMI_read(addr, 8, &v, DMI_GET, NULL));
  return v;
}
static void add(int64_t addr) {
  int64_t before;
  CHECK(DMI_fad(addr, 1, &before, DMI_PUT, NULL));
}

int64_t DMI_thread(int64_t addr) {
  int64_t kind;
  at = addr;
  CHECK(DMI_read(addr, sizeof s, &s, DMI_GET, NULL));
  CHECK(DMI_fad(addr + (int64_t)offsetof(struct shared, kind), 1, &kind, DMI_PUT, NULL));
  int64_t done = 0;
  DMI_local_barrier_t barrier;
  CHECK(DMI_local_barrier_init(&barrier, s.barrier));
  for (int64_t i = 0; i < s.rounds; i++) {
    add(addr + (int64_t)offsetof(struct shared, ready));
    if (kind == MUTEX) { /* main holds it most of the time */
      CHECK(DMI_mutex_lock(s.mutex));
      add(s.page);
      CHECK(DMI_mutex_unlock(s.mutex));
    } else if (kind == ASYNC) {
      int64_t got = -1, mine = i;
      DMI_local_status_t a, b;
      CHECK(DMI_write(s.page + 64, 8, &mine, DMI_PUT, &a));
      int32_t fine = 0;
      DMI_wait(&a, &fine);
      CHECK(fine);
      CHECK(DMI_read(s.page + 64, 8, &got, DMI_GET, &b));
      DMI_wait(&b, &fine);
      CHECK(fine);
      CHECK(got == i);
    } else if (kind == SLEEPER) {
      usleep(1000);
    }
    CHECK(DMI_local_barrier_sync(&barrier, KINDS + 1));
    done++;
  }
  return done * 100 + kind;
}

void DMI_main(int argc, char **argv) {
  s.rounds = argc > 1 ? atoi(argv[1]) : 5;
  CHECK(DMI_mmap(&at, 4096, 1, NULL));
  CHECK(DMI_mmap(&s.page, 4096, 1, NULL));
  CHECK(DMI_mmap(&s.mutex, sizeof(DMI_mutex_t), 1, NULL));
  CHECK(DMI_mmap(&s.barrier, sizeof(DMI_barrier_t), 1, NULL));
  CHECK(DMI_mutex_init(s.mutex));
  CHECK(DMI_barrier_init(s.barrier));
  CHECK(DMI_write(at, sizeof s, &s, DMI_PUT, NULL));
  DMI_local_barrier_t barrier;
  CHECK(DMI_local_barrier_init(&barrier, s.barrier));
  DMI_thread_t t[KINDS];
  CHECK(DMI_mutex_lock(s.mutex));
  for (int i = 0; i < KINDS; i++) CHECK(DMI_create(&t[i], DMI_AUTOMATIC, at, 0, NULL));
  for (int64_t i = 0; i < s.rounds; i++) {
    usleep(30000); /* all of them wait */
    int64_t taken = word(s.page);
    CHECK(taken == i || taken == i + 1); /* the next round's may have been quicker than main */
    CHECK(DMI_mutex_unlock(s.mutex));
    CHECK(DMI_local_barrier_sync(&barrier, KINDS + 1));
    CHECK(DMI_mutex_lock(s.mutex));
  }
  int64_t sum = 0;
  for (int i = 0; i < KINDS; i++) {
    int64_t value = 0;
    CHECK(DMI_join(t[i], &value, NULL));
    CHECK(value / 100 == s.rounds);
    sum += value % 100;
  }
  CHECK(sum == 0 + 1 + 2 + 3);
  CHECK(word(s.page) == s.rounds);
  printf("ok %d\n", (int)s.rounds);
  fflush(stdout);
}
