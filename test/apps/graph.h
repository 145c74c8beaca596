/* graph.h: an irregular graph and how it is shared out. Few vertices have most of the edges; vertices belong to threads in no
 * order and in uneven numbers; what a thread reads is every other thread's. */
#ifndef GRAPH_H
#define GRAPH_H
#include "app.h"

enum { V = 500, DEGREE = 6, EDGES = V * DEGREE };
/* Edges by their target: those to v are edge[first[v]] .. edge[first[v + 1]]. */
static struct { int32_t from, length; } edge[EDGES];
static int32_t first[V + 1], out_degree[V];

static inline void make_graph(int64_t stream) {
  int32_t count = 0;
  memset(out_degree, 0, sizeof out_degree);
  static int32_t from[EDGES], to[EDGES];
  for (int32_t e = 0; e < EDGES; e++) {
    const double skew = random_unit(stream, 3 * e + 1);
    from[e] = e / DEGREE; /* nobody is without an edge */
    to[e] = (int32_t)(V * skew * skew * skew);
    out_degree[from[e]]++;
  }
  for (int32_t v = 0; v < V; v++) {
    first[v] = count;
    for (int32_t e = 0; e < EDGES; e++)
      if (to[e] == v) {
        edge[count].from = from[e];
        edge[count++].length = 1 + (int32_t)(random_bits(stream, 3 * e + 2) % 1000);
      }
  }
  first[V] = count;
}

/* The thread that v belongs to: the last has about twice as many as the others. */
static inline int32_t owner_of(int64_t v) { return (int32_t)MIN((int64_t)(random_bits(7, v) % (uint64_t)(shared.threads + 1)), shared.threads - 1); }

/* A domain of the graph: its vertices, and what their edges come from. */
static int64_t mine[V], ghost[V];
static int32_t mine_num, ghost_num, place[V]; /* place[v]: of v in ghost, or -1 */

static inline void make_domain(void) {
  mine_num = ghost_num = 0;
  memset(place, -1, sizeof place);
  for (int64_t v = V - 1; v >= 0; v--) {
    if (owner_of(v) != rank) continue;
    mine[mine_num++] = v;
    for (int32_t e = first[v]; e < first[v + 1]; e++)
      if (place[edge[e].from] < 0) {
        place[edge[e].from] = ghost_num;
        ghost[ghost_num++] = edge[e].from;
      }
  }
}

/* In all threads together: the read-write-set at `set`, of 8 bytes a vertex. Nobody may be without a vertex. */
static inline void open_set(DMI_local_rwset_t *local, int64_t set) {
  if (rank == 0) CHECK(DMI_rwset_init(set, V, 8, (int32_t)shared.threads));
  meet();
  CHECK(DMI_rwset_decompose(set, rank, mine, mine_num));
  CHECK(DMI_local_rwset_init(local, set, rank, ghost, ghost_num));
}
static inline void close_set(DMI_local_rwset_t *local, int64_t set) {
  CHECK(DMI_local_rwset_destroy(local));
  meet();
  if (rank == 0) CHECK(DMI_rwset_destroy(set));
}
#endif
