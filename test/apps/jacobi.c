/* Jacobi's iteration for Laplace's equation on a square: both grids lie in global memory, a row is a page. A thread sweeps a
 * band of rows; all caches of a row end when its owner writes it again. */
#include "app.h"

enum { N = 64, W = N + 2, ROW = W * 8, STEPS = 20 };
typedef double row[W];

static void fill(row *grid, int64_t from, int64_t to) {
  for (int64_t y = from; y < to; y++)
    for (int64_t x = 0; x < W; x++) {
      const int edge = y == 0 || x == 0 || y == W - 1 || x == W - 1;
      grid[y - from][x] = edge ? random_unit(round_number, y * W + x) : 0;
    }
}

static void sweep(const double *above, const double *here, const double *below, double *to) {
  to[0] = here[0], to[W - 1] = here[W - 1];
  for (int x = 1; x <= N; x++) to[x] = 0.25 * (above[x] + below[x] + here[x - 1] + here[x + 1]);
}

static void verify(int64_t at) {
  static row grid[2][W], parallel[W];
  fill(grid[0], 0, W);
  memcpy(grid[1], grid[0], sizeof grid[0]);
  for (int step = 0; step < STEPS; step++)
    for (int y = 1; y <= N; y++) sweep(grid[step % 2][y - 1], grid[step % 2][y], grid[step % 2][y + 1], grid[(step + 1) % 2][y]);
  get(at, sizeof parallel, parallel);
  CHECK(memcmp(parallel, grid[STEPS % 2], sizeof parallel) == 0);
}

int64_t DMI_thread(int64_t addr) {
  enter(addr);
  const int64_t lo = 1 + first_of(N, rank), hi = 1 + first_of(N, rank + 1);
  static row old[W], new[W];
  while (again()) {
    const int64_t from = rank == 0 ? 0 : lo, to = rank == shared.threads - 1 ? W : hi;
    fill(old, from, to);
    for (int g = 0; g < 2; g++) take(shared.data[g] + from * ROW, (to - from) * ROW, old);
    meet();
    for (int step = 0; step < STEPS; step++) {
      const int64_t read = shared.data[step % 2], write = shared.data[(step + 1) % 2];
      fetch(read + (lo - 1) * ROW, (hi - lo + 2) * ROW, old);
      for (int64_t y = 0; y < hi - lo; y++) sweep(old[y], old[y + 1], old[y + 2], new[y]);
      take(write + lo * ROW, (hi - lo) * ROW, new);
      CHECK(DMI_yield());
      meet();
    }
    if (rank == 0) verify(shared.data[STEPS % 2]);
  }
  return DONE;
}

void DMI_main(int argc, char **argv) {
  start(argc, argv);
  for (int i = 0; i < 2; i++) shared.data[i] = map(ROW, W);
  run_to_end("jacobi", 2);
}
