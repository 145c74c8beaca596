/* mutex-2-threads, mutex-8-threads (and with -2-nodes behind it): how often per second a mutex for which so many threads contend
 * is locked, and unlocked again. DMI_THREADS threads take turns: first two of them contend and the others wait at a barrier, then
 * all do. They are placed on the nodes in turn, so the two are on different nodes if there is more than one. */
#include "dmi_api.h"

#include "bench_guest.h"

enum { FEW = 2, ROUNDS = 7, ROUND_NS = 100000000 };

struct shared {
  int64_t threads, nodes;
  int64_t mutex, barrier;
  int64_t locked[2 * ROUNDS]; /* of each round: of the few, of all, ... */
};

struct role {
  int64_t shared; /* the address of the struct */
  int64_t rank;
};

static int64_t contend(int64_t mutex, double ns) {
  int64_t locked = 0;
  for (uint64_t start = ticks(); (double)(ticks() - start) * ns < ROUND_NS; locked++) {
    BENCH_CHECK(DMI_mutex_lock(mutex));
    BENCH_CHECK(DMI_mutex_unlock(mutex));
  }
  return locked;
}

static void report(const struct shared *s, int64_t threads, int first) {
  double rates[ROUNDS];
  char name[80], nodes[32] = "";
  for (int i = 0; i < ROUNDS; i++) rates[i] = (double)s->locked[2 * i + first] * 1e9 / ROUND_NS;
  if (s->nodes > 1) snprintf(nodes, sizeof nodes, "-%" PRId64 "-nodes", s->nodes);
  snprintf(name, sizeof name, "mutex-%" PRId64 "-threads%s", threads, nodes);
  bench_report(name, bench_median(rates, ROUNDS), "1/s");
}

int64_t DMI_thread(int64_t role) {
  const double ns = tick_ns();
  struct role me;
  struct shared s;
  BENCH_CHECK(DMI_read(role, sizeof me, &me, DMI_GET, NULL));
  BENCH_CHECK(DMI_read(me.shared, sizeof s, &s, DMI_GET, NULL));
  DMI_local_barrier_t barrier;
  BENCH_CHECK(DMI_local_barrier_init(&barrier, s.barrier));
  for (int round = 0; round < 2 * ROUNDS; round++) {
    int64_t before;
    BENCH_CHECK(DMI_local_barrier_sync(&barrier, (int32_t)s.threads));
    if (round % 2 == 0 && me.rank >= FEW) continue;
    const int64_t locked = contend(s.mutex, ns), sum = me.shared + (int64_t)offsetof(struct shared, locked[round]);
    BENCH_CHECK(DMI_fad(sum, locked, &before, DMI_PUT, NULL));
  }
  BENCH_CHECK(DMI_local_barrier_sync(&barrier, (int32_t)s.threads));
  BENCH_CHECK(DMI_local_barrier_destroy(&barrier));
  if (me.rank > 0) return 0;
  BENCH_CHECK(DMI_read(me.shared, sizeof s, &s, DMI_GET, NULL));
  report(&s, FEW, 0);
  report(&s, s.threads, 1);
  return 0;
}

void DMI_main(int argc, char **argv) {
  (void)argc, (void)argv;
  enum { MOST = 64 };
  const char *text = getenv("DMI_THREADS");
  struct shared s = {.threads = text ? atoi(text) : 8};
  DMI_node_t nodes[MOST];
  DMI_thread_t threads[MOST];
  int32_t count;
  int64_t shared, roles;
  if (s.threads < FEW || s.threads > MOST) {
    fprintf(stderr, "mutex: %" PRId64 " threads; start it with -n %d to -n %d\n", s.threads, FEW, MOST);
    exit(2);
  }
  BENCH_CHECK(DMI_nodes(nodes, &count, MOST));
  s.nodes = count;
  BENCH_CHECK(DMI_mmap(&s.mutex, sizeof(DMI_mutex_t), 1, NULL));
  BENCH_CHECK(DMI_mutex_init(s.mutex));
  BENCH_CHECK(DMI_mmap(&s.barrier, sizeof(DMI_barrier_t), 1, NULL));
  BENCH_CHECK(DMI_barrier_init(s.barrier));
  BENCH_CHECK(DMI_mmap(&shared, sizeof s, 1, NULL));
  BENCH_CHECK(DMI_write(shared, sizeof s, &s, DMI_PUT, NULL));
  BENCH_CHECK(DMI_mmap(&roles, sizeof(struct role), s.threads, NULL));
  for (int64_t i = 0; i < s.threads; i++) {
    struct role role = {shared, i};
    const int64_t at = roles + i * (int64_t)sizeof role;
    BENCH_CHECK(DMI_write(at, sizeof role, &role, DMI_PUT, NULL));
    BENCH_CHECK(DMI_create(&threads[i], nodes[i % count].dmi_id, at, 0, NULL));
  }
  for (int64_t i = 0; i < s.threads; i++) BENCH_CHECK(DMI_join(threads[i], NULL, NULL));
}
