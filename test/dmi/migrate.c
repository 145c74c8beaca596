/* DMI_migrate: a thread goes round all nodes and stays itself. */
#include "check.h"

static int64_t state;

int64_t DMI_thread(int64_t addr) {
  enter(addr);
  DMI_thread_t me, moved;
  int8_t done;
  char *heap = my_malloc(1 << 20);
  memset(heap, rank, 1 << 20);
  CHECK(DMI_self(&me));
  while (again()) {
    DMI_node_t nodes[64];
    int32_t n, here;
    CHECK(DMI_nodes(nodes, &n, 64));
    for (int i = 0; i < n; i++) {
      int32_t to = nodes[(i + rank) % n].dmi_id;
      state = mix(rank, i, to);
      if (!DMI_migrate(me, to, &moved, &done, NULL)) {
        CHECK(shared.seconds > 0); /* only a node that leaves meanwhile refuses */
        continue;
      }
      CHECK(DMI_rank(&here));
      CHECK(shared.seconds > 0 || here == to);
      CHECK(moved.dmi_id == me.dmi_id && moved.thread_id == me.thread_id);
      CHECK(state == mix(rank, i, to) && heap[12345] == (char)rank && heap[(1 << 20) - 1] == (char)rank);
    }
    CHECK(!DMI_migrate(me, 1000000, &moved, &done, NULL) || !done);
  }
  my_free(heap);
  return DONE;
}

void DMI_main(int argc, char **argv) {
  prepare(argc, argv);
  run_threads();
  finish("migrate");
}
