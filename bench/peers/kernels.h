/* What the peers' programs and ours compute, the same to the last bit, compiled with the same options: heat in a cube by Jacobi
 * iteration, and conjugate gradients on the cube's Laplacian. The cube is cut into slabs along z, one per rank; how ranks
 * exchange the faces of their slabs and add up sums is what the programs differ in. */
#ifndef BENCH_PEERS_KERNELS_H
#define BENCH_PEERS_KERNELS_H
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
  JACOBI_SIDE = 128, /* inner points per side: 17 MB a copy */
  CG_SIDE = 64,      /* rows: 262,144 with 7 values each: 22 MB */
  BATCH = 20,        /* iterations that are timed together */
  BATCHES = 15,      /* after one that is not counted; the median is reported */
};

static inline double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline int64_t first_plane(int64_t side, int64_t rank, int64_t ranks) { return rank * side / ranks; }

static inline double *zeros(int64_t values) {
  double *a = calloc((size_t)values, sizeof *a);
  if (a == NULL) {
    fprintf(stderr, "no memory for %lld values\n", (long long)values);
    abort();
  }
  return a;
}

/* -------- Jacobi: planes of (n + 2) x (n + 2) values; a slab has one more on each side */

static inline int64_t padded_plane(int64_t n) { return (n + 2) * (n + 2); }

/* A slab of zeros; the face below the cube's first plane is hot. */
static inline double *new_slab(int64_t planes, int64_t n, int at_the_bottom) {
  double *a = zeros((planes + 2) * padded_plane(n));
  for (int64_t i = 0; at_the_bottom && i < padded_plane(n); i++) a[i] = 1 + (double)(i % 7);
  return a;
}

static inline double sweep(const double *a, double *b, int64_t planes, int64_t n) {
  const int64_t row = n + 2, step = row * row;
  double change = 0;
  for (int64_t z = 1; z <= planes; z++)
    for (int64_t y = 1; y <= n; y++)
      for (int64_t i = z * step + y * row + 1, end = i + n; i < end; i++) {
        b[i] = (a[i - 1] + a[i + 1] + a[i - row] + a[i + row] + a[i - step] + a[i + step]) * (1.0 / 6.0);
        const double d = fabs(b[i] - a[i]);
        if (d > change) change = d;
      }
  return change;
}

static inline double sum_of_slab(const double *a, int64_t planes, int64_t n) {
  double sum = 0;
  for (int64_t i = padded_plane(n); i < (planes + 1) * padded_plane(n); i++) sum += a[i];
  return sum;
}

/* -------- conjugate gradients: the rows of a slab in compressed form; a vector that is multiplied has a halo plane on each side */

struct rows {
  int64_t n;      /* rows */
  int32_t *start; /* n + 1 */
  int32_t *column; /* into a vector with its halo */
  double *value;
};

static inline struct rows laplacian(int64_t side, int64_t planes, int64_t first) {
  const int64_t plane = side * side;
  struct rows m = {.n = planes * plane};
  m.start = malloc((size_t)(m.n + 1) * sizeof *m.start);
  m.column = malloc((size_t)m.n * 7 * sizeof *m.column);
  m.value = (double *)zeros(m.n * 7);
  if (m.start == NULL || m.column == NULL) abort();
  int32_t at = 0;
  const int64_t steps[] = {1, side, plane};
  for (int64_t r = 0; r < m.n; r++) {
    const int64_t places[] = {r % side, r / side % side, r / plane + first};
    m.start[r] = at;
    m.column[at] = (int32_t)(r + plane);
    m.value[at++] = 6;
    for (int axis = 0; axis < 3; axis++)
      for (int d = -1; d <= 1; d += 2)
        if (places[axis] + d >= 0 && places[axis] + d < side) {
          m.column[at] = (int32_t)(r + plane + d * steps[axis]);
          m.value[at++] = -1;
        }
  }
  m.start[m.n] = at;
  return m;
}

static inline void multiply(const struct rows *m, const double *x, double *y) {
  for (int64_t r = 0; r < m->n; r++) {
    double sum = 0;
    for (int32_t k = m->start[r]; k < m->start[r + 1]; k++) sum += m->value[k] * x[m->column[k]];
    y[r] = sum;
  }
}

static inline double dot(const double *a, const double *b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
  return sum;
}

/* -------- reporting */

static inline int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* ns per iteration: the median of the batches. `check` is a figure of the result that must agree between programs. */
static inline void report(const char *name, double *batches, double check) {
  qsort(batches, BATCHES, sizeof *batches, by_size);
  printf("{\"name\":\"%s\",\"value\":%.6g,\"unit\":\"ns\"}\n", name, batches[BATCHES / 2] * 1e9 / BATCH);
  printf("%s: check %.9e\n", name, check);
  fflush(stdout);
}
#endif
