/* move SIZE COUNT: a thread that has filled SIZE bytes (64KiB, 64MiB, 1GiB) of heap is moved COUNT times to another node
 * while it computes and writes 100 MB/s of its pages. In between a thread over there sends it back, which is not measured.
 *
 * move-SIZE-live-pause  the longest gap that the thread saw between two readings of the clock during a move, median of moves
 * move-SIZE-live        the whole move as its initiator sees it: SIZE / time in B/s
 * move-64KiB-pause, move-64KiB   the same up to 1 MiB, where the thread writes nothing and the whole move is in ns */
#include "dmi_api.h"

#include "bench_guest.h"

enum { MAX_MOVES = 200, MAX_SIZE_TEXT = 32, SMALL = 1 << 20, PAGE = 4096, PAGES_PER_WINDOW = 5 };

/* In global memory. */
struct shared {
  int64_t size;
  int64_t roles;   /* threads that have begun: the first is the one to be moved, the second sends it back */
  int64_t at_home; /* the thread is where main is, and computes */
  int64_t order;   /* set by main */
  DMI_thread_t moved;
};

enum { STAY, SEND_BACK, STOP };

static int64_t field(int64_t addr, size_t offset) { return addr + (int64_t)offset; }
#define FIELD(addr, name) field(addr, offsetof(struct shared, name))

/* Reads the clock without end and keeps the gaps that stand out; gives the median of the moves' largest, in ps. */
static int64_t compute(int64_t addr) {
  double ns = tick_ns();
  struct shared shared;
  BENCH_CHECK(DMI_read(addr, sizeof shared, &shared, DMI_GET, NULL));
  unsigned char *heap = malloc((size_t)shared.size);
  for (int64_t i = 0; i < shared.size; i++) heap[i] = (unsigned char)(i * 131 + (i >> 12));
  int64_t one = 1, order = STAY;
  int32_t home;
  BENCH_CHECK(DMI_rank(&home));
  BENCH_CHECK(DMI_write(FIELD(addr, at_home), sizeof one, &one, DMI_PUT, NULL));

  static double longest[MAX_MOVES];
  int moves = 0;
  double gap, previous_read = 0;
  uint64_t next = 0; /* page to write: a stride that visits them all */
  int32_t rank, last_rank;
  BENCH_CHECK(DMI_rank(&last_rank));
  while (order != STOP) {
    /* One window: 200 µs of clock readings, then a look at where this thread is. A move falls into a window. */
    gap = 0;
    uint64_t begin = ticks(), before = begin;
    for (int i = 0; shared.size > SMALL && i < PAGES_PER_WINDOW; i++) {
      volatile unsigned char *byte = heap + (next++ * 7919 % (uint64_t)(shared.size / PAGE)) * PAGE;
      *byte = *byte;
    }
    while ((double)(before - begin) * ns < 200e3) {
      uint64_t now = ticks();
      double g = (double)(now - before) * ns;
      if (g > gap) gap = g;
      before = now;
    }
    uint64_t asked = ticks();
    BENCH_CHECK(DMI_rank(&rank)); /* a gate call: a move may fall here too, or into the next */
    uint64_t told = ticks();
    BENCH_CHECK(DMI_read(FIELD(addr, order), sizeof order, &order, DMI_INVALIDATE, NULL));
    double read = (double)(ticks() - told) * ns;
    if ((double)(told - asked) * ns > gap) gap = (double)(told - asked) * ns;
    /* A move during the last read shows only now. The first read over there is no part of it: it fetches a page as anyone's does. */
    if (rank != last_rank && rank != home && moves < MAX_MOVES) longest[moves++] = gap > previous_read ? gap : previous_read;
    if (rank != last_rank && rank == home)
      BENCH_CHECK(DMI_write(FIELD(addr, at_home), sizeof one, &one, DMI_PUT, NULL));
    previous_read = read;
    last_rank = rank;
  }
  for (int64_t i = 0; i < shared.size; i++)
    if (heap[i] != (unsigned char)(i * 131 + (i >> 12))) {
      fprintf(stderr, "byte %" PRId64 " of the moved heap has changed\n", i);
      exit(1);
    }
  return (int64_t)(bench_median(longest, moves) * 1000);
}

/* Runs where the other is moved to, and sends it back whenever main says so. */
static int64_t send_back(int64_t addr) {
  struct shared shared;
  BENCH_CHECK(DMI_read(addr, sizeof shared, &shared, DMI_GET, NULL));
  for (int64_t order = STAY; order != STOP;) {
    usleep(1000);
    BENCH_CHECK(DMI_read(FIELD(addr, order), sizeof order, &order, DMI_GET, NULL));
    if (order != SEND_BACK) continue;
    int64_t stay = STAY;
    int8_t migrated = 0;
    BENCH_CHECK(DMI_write(FIELD(addr, order), sizeof stay, &stay, DMI_PUT, NULL));
    BENCH_CHECK(DMI_migrate(shared.moved, shared.moved.dmi_id, NULL, &migrated, NULL));
  }
  return 0;
}

int64_t DMI_thread(int64_t addr) {
  int64_t role;
  BENCH_CHECK(DMI_fad(FIELD(addr, roles), 1, &role, DMI_PUT, NULL));
  return role == 0 ? compute(addr) : send_back(addr);
}

static int64_t parse_size(const char *text) {
  char *unit;
  int64_t n = strtoll(text, &unit, 10);
  if (strcmp(unit, "KiB") == 0) return n << 10;
  if (strcmp(unit, "MiB") == 0) return n << 20;
  if (strcmp(unit, "GiB") == 0) return n << 30;
  fprintf(stderr, "move: %s: a size like 64KiB, 64MiB or 1GiB is expected\n", text);
  exit(2);
}

/* Waits until the thread computes here, and lets it do so for a while. */
static void await_home(int64_t addr) {
  int64_t at_home = 0, zero = 0;
  while (!at_home) {
    usleep(2000);
    BENCH_CHECK(DMI_read(FIELD(addr, at_home), sizeof at_home, &at_home, DMI_GET, NULL));
  }
  BENCH_CHECK(DMI_write(FIELD(addr, at_home), sizeof zero, &zero, DMI_PUT, NULL));
  usleep(5000);
}

static void tell(int64_t addr, int64_t order) {
  BENCH_CHECK(DMI_write(FIELD(addr, order), sizeof order, &order, DMI_PUT, NULL));
}

void DMI_main(int argc, char **argv) {
  if (argc != 3 || strlen(argv[1]) > MAX_SIZE_TEXT) {
    fprintf(stderr, "usage: move SIZE COUNT\n");
    exit(2);
  }
  double ns = tick_ns();
  struct shared shared = {.size = parse_size(argv[1])};
  int count = atoi(argv[2]);
  if (count < 1 || count > MAX_MOVES) count = MAX_MOVES;

  int64_t addr, picoseconds;
  DMI_node_t nodes[8];
  int32_t n, here;
  BENCH_CHECK(DMI_rank(&here));
  BENCH_CHECK(DMI_nodes(nodes, &n, 8));
  if (n < 2) {
    fprintf(stderr, "move: two nodes are needed, there is %d\n", n);
    exit(1);
  }
  int32_t there = nodes[0].dmi_id == here ? nodes[1].dmi_id : nodes[0].dmi_id;
  BENCH_CHECK(DMI_mmap(&addr, sizeof shared, 1, NULL));
  BENCH_CHECK(DMI_write(addr, sizeof shared, &shared, DMI_PUT, NULL));
  DMI_thread_t thread, helper;
  BENCH_CHECK(DMI_create(&thread, here, addr, 0, NULL));
  BENCH_CHECK(DMI_write(FIELD(addr, moved), sizeof thread, &thread, DMI_PUT, NULL));

  static double times[MAX_MOVES];
  for (int i = 0; i < count; i++) {
    int8_t migrated = 0;
    await_home(addr);
    if (i == 0) BENCH_CHECK(DMI_create(&helper, there, addr, 0, NULL));
    uint64_t start = ticks();
    BENCH_CHECK(DMI_migrate(thread, there, NULL, &migrated, NULL));
    times[i] = (double)(ticks() - start) * ns;
    if (!migrated) {
      fprintf(stderr, "move %d was refused: %s\n", i, DMI_error());
      exit(1);
    }
    usleep(5000);
    tell(addr, i + 1 < count ? SEND_BACK : STOP);
  }
  BENCH_CHECK(DMI_join(helper, &picoseconds, NULL));
  BENCH_CHECK(DMI_join(thread, &picoseconds, NULL));

  char name[64];
  double time = bench_median(times, count);
  const char *live = shared.size > SMALL ? "-live" : "";
  snprintf(name, sizeof name, "move-%s%s-pause", argv[1], live);
  bench_report(name, (double)picoseconds / 1000, "ns");
  snprintf(name, sizeof name, "move-%s%s", argv[1], live);
  if (shared.size > SMALL)
    bench_report(name, (double)shared.size * 1e9 / time, "B/s");
  else
    bench_report(name, time, "ns");
}
