/* barrier-32-threads-2-nodes (or 128-threads-1-node): DMI_local_barrier_sync by DMI_THREADS threads that the scheduler has spread over the nodes.
 * allreduce-32-threads-2-nodes: DMI_local_barrier_allreduce of one double by the same. The names follow the counts. */
#include "dmi_api.h"

#include "bench_guest.h"

enum { ROUNDS = 400 };

struct shared {
  int64_t threads;
  int64_t next; /* rank to be taken */
};

static int64_t barrier_of(int64_t addr) { return addr + (int64_t)sizeof(struct shared); }

int64_t DMI_thread(int64_t addr) {
  double ns = tick_ns();
  struct shared shared;
  int64_t rank;
  int32_t nodes = 0;
  BENCH_CHECK(DMI_read(addr, sizeof shared, &shared, DMI_GET, NULL));
  BENCH_CHECK(DMI_fad(addr + (int64_t)offsetof(struct shared, next), 1, &rank, DMI_PUT, NULL));
  DMI_local_barrier_t barrier;
  BENCH_CHECK(DMI_local_barrier_init(&barrier, barrier_of(addr)));
  static double sync[ROUNDS], reduce[ROUNDS];
  int pnum = (int)shared.threads;
  for (int i = -20; i < ROUNDS; i++) {
    uint64_t start = ticks();
    BENCH_CHECK(DMI_local_barrier_sync(&barrier, pnum));
    if (i >= 0) sync[i] = (double)(ticks() - start) * ns;
  }
  for (int i = 0; i < ROUNDS; i++) {
    double mine = (double)rank, sum;
    uint64_t start = ticks();
    BENCH_CHECK(DMI_local_barrier_allreduce(&barrier, pnum, &mine, &sum, DMI_OP_SUM, DMI_TYPE_DOUBLE));
    reduce[i] = (double)(ticks() - start) * ns;
    if (sum != (double)pnum * (pnum - 1) / 2) {
      fprintf(stderr, "allreduce of %d ranks gave %g\n", pnum, sum);
      exit(1);
    }
  }
  BENCH_CHECK(DMI_local_barrier_destroy(&barrier));
  if (rank == 0) {
    char name[80];
    DMI_node_t array[64];
    BENCH_CHECK(DMI_nodes(array, &nodes, 64));
    const char *plural = nodes == 1 ? "" : "s";
    snprintf(name, sizeof name, "barrier-%d-threads-%d-node%s", pnum, nodes, plural);
    bench_report(name, bench_median(sync, ROUNDS), "ns");
    snprintf(name, sizeof name, "allreduce-%d-threads-%d-node%s", pnum, nodes, plural);
    bench_report(name, bench_median(reduce, ROUNDS), "ns");
  }
  return 0;
}

void DMI_main(int argc, char **argv) {
  (void)argc, (void)argv;
  const char *text = getenv("DMI_THREADS");
  int32_t threads = text ? atoi(text) : 32;
  struct shared shared = {.threads = threads};
  int64_t addr, scheduler;
  BENCH_CHECK(DMI_mmap(&addr, sizeof shared + sizeof(DMI_barrier_t), 1, NULL));
  BENCH_CHECK(DMI_mmap(&scheduler, sizeof(DMI_scheduler_t), 1, NULL));
  BENCH_CHECK(DMI_write(addr, sizeof shared, &shared, DMI_PUT, NULL));
  BENCH_CHECK(DMI_barrier_init(barrier_of(addr)));
  BENCH_CHECK(DMI_scheduler_init(scheduler));
  int32_t *ids = malloc((size_t)threads * sizeof *ids);
  for (int i = 0; i < threads; i++) BENCH_CHECK(DMI_scheduler_create(scheduler, &ids[i], addr));
  for (int i = 0; i < threads; i++) {
    int64_t result;
    BENCH_CHECK(DMI_scheduler_join(scheduler, ids[i], &result));
  }
  free(ids);
  BENCH_CHECK(DMI_scheduler_destroy(scheduler));
}
