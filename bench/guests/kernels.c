/* The kernels of examples/ts/jacobi.ts and cg.ts in C, and what the same calls cost from C: baselines of the typescript suite. */
#include <math.h>

#include "bench_guest.h"
#include "dmi_api.h"

/* Whatever else the machine does only adds to what a kernel takes. */
static double least(const double *samples, int n) {
  double found = samples[0];
  for (int i = 1; i < n; i++) found = samples[i] < found ? samples[i] : found;
  return found;
}

static double sweep(const double *a, double *b, int planes, int n) {
  const int row = n + 2, step = row * row;
  double change = 0;
  for (int z = 1; z <= planes; z++)
    for (int y = 1; y <= n; y++) {
      const int start = z * step + y * row;
      for (int i = start + 1; i <= start + n; i++) {
        b[i] = (a[i - 1] + a[i + 1] + a[i - row] + a[i + row] + a[i - step] + a[i + step]) * (1.0 / 6.0);
        const double d = fabs(b[i] - a[i]);
        if (d > change) change = d;
      }
    }
  return change;
}

static void multiply(int rows, const int *start, const int *column, const double *value, const double *x, double *y) {
  for (int r = 0; r < rows; r++) {
    double sum = 0;
    for (int k = start[r]; k < start[r + 1]; k++) sum += value[k] * x[column[k]];
    y[r] = sum;
  }
}

static double dot(const double *a, const double *b, int n) {
  double sum = 0;
  for (int i = 0; i < n; i++) sum += a[i] * b[i];
  return sum;
}

/* One iteration of conjugate gradients without a preconditioner, on the Laplacian of a cube. */
static double cg(int side, int rounds, double *sink) {
  const int n = side * side * side, steps[] = {1, side, side * side};
  int *start = malloc((size_t)(n + 1) * sizeof *start), *column = malloc((size_t)n * 7 * sizeof *column), at = 0;
  double *value = malloc((size_t)n * 7 * 8), *v[4];
  for (int k = 0; k < 4; k++) v[k] = malloc((size_t)n * 8);
  for (int r = 0; r < n; r++) {
    start[r] = at;
    column[at] = r, value[at++] = 6;
    for (int axis = 0; axis < 3; axis++)
      for (int d = -1; d <= 1; d += 2) {
        const int place = r / steps[axis] % side + d;
        if (place >= 0 && place < side) column[at] = r + d * steps[axis], value[at++] = -1;
      }
  }
  start[n] = at;
  double *u = v[0], *r = v[1], *p = v[2], *q = v[3], *samples = malloc((size_t)rounds * 8);
  for (int i = 0; i < n; i++) u[i] = 0, r[i] = p[i] = 1 + i % 3;
  double rr = dot(r, r, n);
  for (int k = 0; k < rounds; k++) {
    const int64_t from = now_ns();
    multiply(n, start, column, value, p, q);
    const double alpha = rr / dot(p, q, n);
    for (int i = 0; i < n; i++) u[i] += alpha * p[i];
    for (int i = 0; i < n; i++) r[i] -= alpha * q[i];
    const double next = dot(r, r, n), beta = next / rr;
    rr = next;
    for (int i = 0; i < n; i++) p[i] = r[i] + beta * p[i];
    samples[k] = (double)(now_ns() - from);
  }
  *sink += u[n / 2];
  return least(samples, rounds);
}

void DMI_main(int argc, char **argv) {
  (void)argc, (void)argv;
  const int n = 64, step = (n + 2) * (n + 2);
  double *a = calloc((size_t)(n + 2) * (size_t)step, 8), *b = calloc((size_t)(n + 2) * (size_t)step, 8), sink = 0;
  for (int i = 0; i < step; i++) a[i] = 1 + i % 7;
  double samples[200];
  for (int k = 0; k < 200; k++) {
    const int64_t from = now_ns();
    sink += sweep(a, b, n, n);
    samples[k] = (double)(now_ns() - from);
    double *t = a;
    a = b, b = t;
  }
  bench_report("c-jacobi", least(samples, 200), "ns");
  bench_report("c-cg", cg(40, 100, &sink), "ns");

  int64_t address, one = 1;
  BENCH_CHECK(DMI_mmap(&address, 8, 1, NULL));
  BENCH_CHECK(DMI_write(address, 8, &one, DMI_EXCLUSIVE, NULL));
  const int calls = 200000;
  double batches[9];
  for (int k = 0; k < 9; k++) {
    const int64_t from = now_ns();
    for (int i = 0; i < calls; i++) {
      BENCH_CHECK(DMI_read(address, 8, &one, DMI_GET, NULL));
      sink += (double)one;
    }
    batches[k] = (double)(now_ns() - from) / calls;
  }
  bench_report("c-call", least(batches, 9), "ns");
  if (sink == 0.25) puts("");
}
