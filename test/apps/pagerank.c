/* PageRank of an irregular graph: each step exchanges, through a read-write-set, what every vertex gives along its edges. A
 * vertex adds up its edges in their order, whoever does it, so all is the same bit by bit. */
#include "graph.h"

enum { STEPS = 15 };
static const double damping = 0.85;

static double rank_of(int64_t v, const double *given, const int32_t *where) {
  double sum = 0;
  for (int32_t e = first[v]; e < first[v + 1]; e++) sum += given[where ? where[edge[e].from] : edge[e].from];
  return (1 - damping) / V + damping * sum;
}

static void verify(int64_t at) {
  static double score[V], given[V], parallel[V];
  double sum = 0;
  for (int v = 0; v < V; v++) score[v] = 1.0 / V;
  for (int step = 0; step < STEPS; step++) {
    for (int v = 0; v < V; v++) given[v] = score[v] / out_degree[v];
    for (int v = 0; v < V; v++) score[v] = rank_of(v, given, NULL);
  }
  get(at, sizeof parallel, parallel);
  CHECK(memcmp(parallel, score, sizeof parallel) == 0);
  for (int v = 0; v < V; v++) sum += score[v];
  CHECK(fabs(sum - 1) < 1e-12); /* nothing is lost on the way */
}

int64_t DMI_thread(int64_t addr) {
  enter(addr);
  const int64_t set = shared.data[0], result = shared.data[1];
  static double score[V], given[V], received[V];
  DMI_local_rwset_t local;
  while (again()) {
    make_graph(round_number);
    make_domain();
    open_set(&local, set);
    for (int i = 0; i < mine_num; i++) score[i] = 1.0 / V;
    for (int step = 0; step < STEPS; step++) {
      for (int i = 0; i < mine_num; i++) given[i] = score[i] / out_degree[mine[i]];
      CHECK(DMI_local_rwset_write(&local, given, NULL));
      meet();
      CHECK(DMI_local_rwset_read(&local, received, NULL));
      CHECK(DMI_yield());
      meet();
      for (int i = 0; i < mine_num; i++) score[i] = rank_of(mine[i], received, place);
    }
    for (int i = 0; i < mine_num; i++) put(result + 8 * mine[i], 8, &score[i]);
    close_set(&local, set);
    meet();
    if (rank == 0) verify(result);
  }
  return DONE;
}

void DMI_main(int argc, char **argv) {
  start(argc, argv);
  shared.data[0] = map(sizeof(DMI_rwset_t), 1);
  shared.data[1] = map(400, V * 8 / 400);
  run_to_end("pagerank", 2);
}
