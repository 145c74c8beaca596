/* C = A B by blocks of rows: a thread owns its rows of C and caches the whole of B. Elements are small whole numbers, so that
 * sums are exact. */
#include "app.h"

enum { N = 96, ROW = N * 8 };
typedef double row[N];
static row a[N], b[N], c[N];

static double element(int64_t matrix, int64_t i, int64_t k) { return (double)(random_bits(2 * round_number + matrix, i * N + k) % 201) - 100; }

static void multiply(const row *left, int64_t rows, row *product) {
  memset(product, 0, (size_t)rows * sizeof *product);
  for (int64_t i = 0; i < rows; i++)
    for (int k = 0; k < N; k++)
      for (int j = 0; j < N; j++) product[i][j] += left[i][k] * b[k][j];
}

static void verify(int64_t at) {
  static row parallel[N];
  for (int i = 0; i < N; i++)
    for (int k = 0; k < N; k++) a[i][k] = element(0, i, k), b[i][k] = element(1, i, k);
  multiply(a, N, c);
  get(at, sizeof parallel, parallel);
  CHECK(memcmp(parallel, c, sizeof c) == 0);
}

int64_t DMI_thread(int64_t addr) {
  enter(addr);
  const int64_t lo = first_of(N, rank), hi = first_of(N, rank + 1), size = (hi - lo) * ROW;
  while (again()) {
    for (int64_t i = lo; i < hi; i++)
      for (int k = 0; k < N; k++) a[i][k] = element(0, i, k), b[i][k] = element(1, i, k);
    take(shared.data[0] + lo * ROW, size, a + lo);
    take(shared.data[1] + lo * ROW, size, b + lo);
    meet();
    fetch(shared.data[1], sizeof b, b);
    for (int64_t i = lo; i < hi; i++) {
      fetch(shared.data[0] + i * ROW, ROW, a[i]);
      multiply(a + i, 1, c + i);
      CHECK(DMI_yield());
      put(shared.data[2] + i * ROW, ROW, c[i]);
    }
    meet();
    if (rank == 0) verify(shared.data[2]);
  }
  return DONE;
}

void DMI_main(int argc, char **argv) {
  start(argc, argv);
  for (int i = 0; i < 3; i++) shared.data[i] = map(ROW, N);
  run_to_end("matmul", 3);
}
