/* Gravitation among N bodies, directly: each step is an allgather of positions through global memory. A body's force is summed
 * in the order of the bodies, whoever does it, so all is the same bit by bit. */
#include "app.h"

enum { N = 96, STEPS = 12 };
static const double dt = 0x1p-7, soft = 0x1p-6;
typedef struct { double x[3], m; } body;
typedef struct { double v[3]; } motion;

static void fill(int64_t from, int64_t to, body *bodies, motion *motions) {
  for (int64_t i = from; i < to; i++)
    for (int d = 0; d < 3; d++) {
      bodies[i].x[d] = 2 * random_unit(round_number, 8 * i + d) - 1;
      bodies[i].m = random_unit(round_number, 8 * i + 3) / N;
      motions[i].v[d] = random_unit(round_number, 8 * i + 4 + d) - 0.5;
    }
}

static void move(int64_t from, int64_t to, const body *all, motion *motions, body *moved) {
  for (int64_t i = from; i < to; i++) {
    double force[3] = {0};
    for (int64_t k = 0; k < N; k++) {
      double by[3], square = soft;
      for (int d = 0; d < 3; d++) by[d] = all[k].x[d] - all[i].x[d], square += by[d] * by[d];
      const double pull = all[k].m / (square * sqrt(square));
      for (int d = 0; d < 3; d++) force[d] += pull * by[d];
    }
    moved[i].m = all[i].m;
    for (int d = 0; d < 3; d++) {
      motions[i].v[d] += dt * force[d];
      moved[i].x[d] = all[i].x[d] + dt * motions[i].v[d];
    }
  }
}

static void verify(const body *parallel) {
  static body bodies[2][N];
  static motion motions[N];
  fill(0, N, bodies[0], motions);
  for (int step = 0; step < STEPS; step++) move(0, N, bodies[step % 2], motions, bodies[(step + 1) % 2]);
  CHECK(memcmp(parallel, bodies[STEPS % 2], sizeof bodies[0]) == 0);
}

int64_t DMI_thread(int64_t addr) {
  enter(addr);
  const int64_t lo = first_of(N, rank), hi = first_of(N, rank + 1);
  static body all[N], mine[N];
  static motion motions[N];
  while (again()) {
    fill(lo, hi, mine, motions);
    for (int step = 0; step <= STEPS; step++) {
      const int64_t at = shared.data[step % 2]; /* two, so that nobody overwrites what another still gathers */
      take(at + lo * (int64_t)sizeof(body), (hi - lo) * (int64_t)sizeof(body), mine + lo);
      meet();
      CHECK(DMI_read(at, sizeof all, all, step % 3 ? DMI_INVALIDATE : DMI_UPDATE, NULL));
      if (step < STEPS) move(lo, hi, all, motions, mine);
      CHECK(DMI_yield());
    }
    if (rank == 0) verify(all);
  }
  return DONE;
}

void DMI_main(int argc, char **argv) {
  start(argc, argv);
  for (int i = 0; i < 2; i++) shared.data[i] = map(8 * sizeof(body), N / 8);
  run_to_end("nbody", 2);
}
