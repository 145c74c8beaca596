/* DMI_migrate: a thread goes round all nodes and stays itself; one thread sends another round, wherever that is. */
#include "check.h"

static int64_t state;

/* Rank 0 sends rank 1 to every node in turn; who looks only then. */
static void send_round(void) {
  int64_t name = shared.data[0], where = shared.data[1];
  DMI_thread_t other, moved;
  DMI_node_t nodes[64];
  int32_t n, here;
  int8_t done;
  if (rank == 1) {
    CHECK(DMI_self(&other));
    put(name, sizeof other, &other);
  }
  meet();
  if (rank == 0) {
    get(name, sizeof other, &other);
    CHECK(DMI_nodes(nodes, &n, 64));
    for (int i = 0; i < n; i++) {
      int32_t ok = DMI_migrate(other, nodes[i].dmi_id, &moved, &done, NULL);
      CHECK(ok ? done && moved.thread_id == other.thread_id : shared.seconds > 0); /* refused if it is being moved anyway */
      if (ok && shared.seconds == 0) put_word(where, nodes[i].dmi_id);
    }
    other.thread_id = 1 << 30; /* never was */
    if (round_number == 1) REFUSED(DMI_migrate(other, nodes[0].dmi_id, &moved, &done, NULL), ESRCH);
  }
  meet();
  CHECK(DMI_rank(&here));
  if (rank == 1 && shared.seconds == 0) CHECK(here == get_word(where));
  meet();
}

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
    if (shared.threads > 1) send_round();
  }
  my_free(heap);
  return DONE;
}

void DMI_main(int argc, char **argv) {
  prepare(argc, argv);
  shared.data[0] = map(8, 1);
  shared.data[1] = map(8, 1);
  run_threads();
  unmap(shared.data[0]);
  unmap(shared.data[1]);
  finish("migrate");
}
