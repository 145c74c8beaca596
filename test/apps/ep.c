/* Pairs of Gaussian deviates in the manner of the NAS benchmark EP: x' = 5^13 x mod 2^46, each batch of pairs finds its own place in
 * the one sequence, and only the counts per square annulus and two sums are combined. With -DLOG_PAIRS=24 it is class S, and the
 * published sums are checked as well. (Bailey et al.: The NAS Parallel Benchmarks, RNR-94-007, section 2.2.) */
#include "app.h"

#ifndef LOG_PAIRS
#define LOG_PAIRS 17
#endif
enum { PAIRS_PER_BATCH = 1 << 12, BATCHES = (1 << LOG_PAIRS) / PAIRS_PER_BATCH, ANNULI = 10 };
static const uint64_t factor = 1220703125, modulus_mask = ((uint64_t)1 << 46) - 1, first_x = 271828183;

struct totals { double sum[2]; int64_t count[ANNULI]; };

/* factor^n mod 2^46; whole multiples of 2^46 fall away, so 64 bits are enough. */
static uint64_t power(int64_t n) {
  uint64_t result = 1, square = factor;
  for (; n > 0; n >>= 1, square *= square)
    if (n & 1) result *= square;
  return result & modulus_mask;
}

static void run_batch(int64_t batch, struct totals *t) {
  uint64_t x = first_x * power(2 * batch * PAIRS_PER_BATCH) & modulus_mask;
  for (int i = 0; i < PAIRS_PER_BATCH; i++) {
    double u[2];
    for (int k = 0; k < 2; k++) {
      x = x * factor & modulus_mask;
      u[k] = 2 * ((double)x * 0x1p-46) - 1;
    }
    const double square = u[0] * u[0] + u[1] * u[1];
    if (square > 1) continue;
    const double scale = sqrt(-2 * log(square) / square), a = u[0] * scale, b = u[1] * scale;
    t->sum[0] += a, t->sum[1] += b;
    t->count[(int)MAX(fabs(a), fabs(b))]++;
  }
}

static int agree(double a, double b) { return fabs(a - b) <= 1e-8 * fabs(b); }

static void verify(const struct totals *all) {
  static struct totals sequential; /* the same in every round */
  static int known;
  for (int64_t batch = 0; !known && batch < BATCHES; batch++) run_batch(batch, &sequential);
  known = 1;
  CHECK(memcmp(all->count, sequential.count, sizeof all->count) == 0);
  for (int k = 0; k < 2; k++) CHECK(agree(all->sum[k], sequential.sum[k]));
#if LOG_PAIRS == 24
  CHECK(agree(all->sum[0], -3.247834652034740e3) && agree(all->sum[1], -6.958407078382297e3));
#endif
}

int64_t DMI_thread(int64_t addr) {
  enter(addr);
  const int32_t n = (int32_t)shared.threads;
  while (again()) {
    struct totals mine = {0}, all;
    for (int64_t batch = rank; batch < BATCHES; batch += n) {
      run_batch(batch, &mine);
      CHECK(DMI_yield());
    }
    for (int k = 0; k < 2; k++) CHECK(DMI_local_barrier_allreduce(&barrier, n, &mine.sum[k], &all.sum[k], DMI_OP_SUM, DMI_TYPE_DOUBLE));
    for (int k = 0; k < ANNULI; k++) CHECK(DMI_local_barrier_allreduce(&barrier, n, &mine.count[k], &all.count[k], DMI_OP_SUM, DMI_TYPE_LONGLONG));
    if (rank == 0) verify(&all);
  }
  return DONE;
}

void DMI_main(int argc, char **argv) {
  start(argc, argv);
  run_to_end("ep", 0);
}
