/* move_self SIZE COUNT: a thread that has filled SIZE bytes (64MiB, 1GiB) of heap moves itself to another node COUNT times, and
 * back, which is not measured. It stands still throughout: stop and copy.
 *
 * move-SIZE  from its call to its return over there, median: SIZE / time in B/s */
#include <string.h>
#include <unistd.h>

#include "dmi_api.h"

#include "bench_guest.h"

enum { MAX_MOVES = 50, MAX_NODES = 8, PAUSE = 300000 };

static int64_t parse_size(const char *text) {
  char *unit;
  int64_t n = strtoll(text, &unit, 10);
  if (strcmp(unit, "MiB") == 0) return n << 20;
  if (strcmp(unit, "GiB") == 0) return n << 30;
  fprintf(stderr, "move_self: %s: a size like 64MiB or 1GiB is expected\n", text);
  exit(2);
}

static void go(DMI_thread_t me, int32_t to) {
  int8_t migrated = 0;
  BENCH_CHECK(DMI_migrate(me, to, NULL, &migrated, NULL));
  if (migrated) return;
  fprintf(stderr, "move_self: it was refused: %s\n", DMI_error());
  exit(1);
}

void DMI_main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: move_self SIZE COUNT\n");
    exit(2);
  }
  int64_t size = parse_size(argv[1]);
  int count = atoi(argv[2]);
  if (count < 1 || count > MAX_MOVES) count = MAX_MOVES;
  double ns = tick_ns();
  DMI_node_t nodes[MAX_NODES];
  DMI_thread_t me;
  int32_t n, here;
  BENCH_CHECK(DMI_rank(&here));
  BENCH_CHECK(DMI_nodes(nodes, &n, MAX_NODES));
  BENCH_CHECK(DMI_self(&me));
  if (n < 2) {
    fprintf(stderr, "move_self: two nodes are needed, there is %d\n", n);
    exit(1);
  }
  int32_t there = nodes[0].dmi_id == here ? nodes[1].dmi_id : nodes[0].dmi_id;
  unsigned char *heap = malloc((size_t)size);
  for (int64_t i = 0; i < size; i++) heap[i] = (unsigned char)(i * 131 + (i >> 12));

  static double times[MAX_MOVES];
  for (int i = 0; i < count; i++) {
    usleep(PAUSE); /* until what the last move left behind has been unmapped */
    uint64_t start = ticks();
    go(me, there);
    times[i] = (double)(ticks() - start) * ns;
    go(me, here);
  }
  for (int64_t i = 0; i < size; i++)
    if (heap[i] != (unsigned char)(i * 131 + (i >> 12))) {
      fprintf(stderr, "byte %" PRId64 " of the moved heap has changed\n", i);
      exit(1);
    }
  char name[64];
  snprintf(name, sizeof name, "move-%s", argv[1]);
  bench_report(name, (double)size * 1e9 / bench_median(times, count), "B/s");
}
