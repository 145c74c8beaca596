/* Red-black successive over-relaxation on a square: a thread keeps its band of rows to itself and publishes only the first and
 * the last of them, after each colour; neighbours keep them by pushed updates. The largest change is an allreduce. */
#include "app.h"

enum { N = 64, W = N + 2, ROW = W * 8, STEPS = 15 };
typedef double row[W];
static const double omega = 1.7;

static void fill(row *grid, int64_t from, int64_t to) {
  for (int64_t y = from; y < to; y++)
    for (int64_t x = 0; x < W; x++) {
      const int edge = y == 0 || x == 0 || y == W - 1 || x == W - 1;
      grid[y - from][x] = edge ? random_unit(round_number, y * W + x) : 0;
    }
}

/* Relaxes the points of one colour in row y of the whole, which is grid[0]; gives the largest change. */
static double relax(row *grid, int64_t y, int64_t colour) {
  double most = 0;
  for (int64_t x = 1 + (y + colour) % 2; x <= N; x += 2) {
    const double change = omega * (0.25 * (grid[-1][x] + grid[1][x] + grid[0][x - 1] + grid[0][x + 1]) - grid[0][x]);
    grid[0][x] += change;
    most = MAX(most, fabs(change));
  }
  return most;
}

static void verify(int64_t at, const double *changes) {
  static row grid[W], parallel[W];
  fill(grid, 0, W);
  for (int step = 0; step < STEPS; step++) {
    double most = 0;
    for (int colour = 0; colour < 2; colour++)
      for (int64_t y = 1; y <= N; y++) {
        const double change = relax(grid + y, y, colour);
        most = MAX(most, change);
      }
    CHECK(most == changes[step]);
  }
  get(at, sizeof parallel, parallel);
  CHECK(memcmp(parallel + 1, grid + 1, N * ROW) == 0);
}

int64_t DMI_thread(int64_t addr) {
  enter(addr);
  const int64_t lo = 1 + first_of(N, rank), hi = 1 + first_of(N, rank + 1), rows = shared.data[0];
  static row band[W]; /* rows lo-1 .. hi of the whole */
  double changes[STEPS];
  while (again()) {
    fill(band, lo - 1, hi + 1);
    take(rows + lo * ROW, (hi - lo) * ROW, band + 1);
    for (int step = 0; step < STEPS; step++) {
      double most = 0;
      for (int colour = 0; colour < 2; colour++) {
        for (int64_t y = lo; y < hi; y++) {
          const double change = relax(band + 1 + (y - lo), y, colour);
          most = MAX(most, change);
        }
        put(rows + lo * ROW, ROW, band[1]);
        put(rows + (hi - 1) * ROW, ROW, band[hi - lo]);
        meet(); /* once is enough: a neighbour may be a colour ahead by now, but of that colour nothing is used before it comes again */
        if (lo > 1) CHECK(DMI_read(rows + (lo - 1) * ROW, ROW, band[0], DMI_UPDATE, NULL));
        if (hi <= N) CHECK(DMI_read(rows + hi * ROW, ROW, band[hi - lo + 1], DMI_UPDATE, NULL));
        CHECK(DMI_yield());
      }
      CHECK(DMI_local_barrier_allreduce(&barrier, (int32_t)shared.threads, &most, &changes[step], DMI_OP_MAX, DMI_TYPE_DOUBLE));
    }
    take(rows + lo * ROW, (hi - lo) * ROW, band + 1);
    meet();
    if (rank == 0) verify(rows, changes);
  }
  return DONE;
}

void DMI_main(int argc, char **argv) {
  start(argc, argv);
  shared.data[0] = map(ROW, W);
  run_to_end("sor", 1);
}
