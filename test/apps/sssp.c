/* Single-source shortest paths in an irregular graph (Bellman and Ford's, by vertices that look at their edges): distances are
 * exchanged through a read-write-set until an allreduce says that none has changed. Checked against Dijkstra's. */
#include "graph.h"

static const int64_t far = (int64_t)1 << 40;

static void dijkstra(int source, int64_t *distance) {
  static int8_t final[V];
  memset(final, 0, sizeof final);
  for (int v = 0; v < V; v++) distance[v] = v == source ? 0 : far;
  for (int n = 0; n < V; n++) {
    int next = -1;
    for (int v = 0; v < V; v++)
      if (!final[v] && (next < 0 || distance[v] < distance[next])) next = v;
    final[next] = 1;
    for (int v = 0; v < V; v++)
      for (int e = first[v]; e < first[v + 1]; e++)
        if (edge[e].from == next) distance[v] = MIN(distance[v], distance[next] + edge[e].length);
  }
}

int64_t DMI_thread(int64_t addr) {
  enter(addr);
  const int64_t set = shared.data[0], result = shared.data[1];
  static int64_t distance[V], received[V], parallel[V], sequential[V];
  DMI_local_rwset_t local;
  while (again()) {
    const int source = V - 1 - (int)(round_number % 10); /* few edges lead there, but its own lead everywhere */
    make_graph(100000 + round_number);
    make_domain();
    open_set(&local, set);
    for (int i = 0; i < mine_num; i++) distance[i] = mine[i] == source ? 0 : far;
    for (int64_t changed = 1; changed;) {
      CHECK(DMI_local_rwset_write(&local, distance, NULL));
      meet();
      CHECK(DMI_local_rwset_read(&local, received, NULL));
      CHECK(DMI_yield());
      int64_t here = 0;
      for (int i = 0; i < mine_num; i++)
        for (int e = first[mine[i]]; e < first[mine[i] + 1]; e++) {
          const int64_t by = received[place[edge[e].from]] + edge[e].length;
          if (by < distance[i]) distance[i] = by, here++;
        }
      CHECK(DMI_local_barrier_allreduce(&barrier, (int32_t)shared.threads, &here, &changed, DMI_OP_SUM, DMI_TYPE_LONG));
    }
    for (int i = 0; i < mine_num; i++) put(result + 8 * mine[i], 8, &distance[i]);
    close_set(&local, set);
    meet();
    if (rank == 0) {
      get(result, sizeof parallel, parallel);
      dijkstra(source, sequential);
      int reached = 0;
      for (int v = 0; v < V; v++) {
        CHECK(sequential[v] < far ? parallel[v] == sequential[v] : parallel[v] >= far);
        reached += sequential[v] < far;
      }
      CHECK(reached > DEGREE); /* the graph is not trivial */
    }
  }
  return DONE;
}

void DMI_main(int argc, char **argv) {
  start(argc, argv);
  shared.data[0] = map(sizeof(DMI_rwset_t), 1);
  shared.data[1] = map(400, V * 8 / 400);
  run_to_end("sssp", 2);
}
