/* C = A B by Fox's algorithm on a Q x Q grid of threads: in step s the block A[i][i+s] goes to the whole row i of the grid, and
 * the blocks of B go round upwards. Elements are small whole numbers, so that sums are exact. Threads outside the grid only
 * keep the others company. (Fox, Otto, Hey: Matrix algorithms on a hypercube I, Parallel Computing 4, 1987.) */
#include "app.h"

enum { M = 40, BLOCK = M * M * 8 }; /* a block's side; bytes, of which a page consists */
static double a[M][M], b[M][M], c[M][M];

static double element(int64_t matrix, int64_t i, int64_t k) { return (double)(random_bits(2 * round_number + matrix, i << 20 | k) % 201) - 100; }

static void add_product(void) {
  for (int i = 0; i < M; i++)
    for (int k = 0; k < M; k++)
      for (int j = 0; j < M; j++) c[i][j] += a[i][k] * b[k][j];
}

/* Block (bi, bj) sequentially, element by element of the whole matrices. */
static void verify(int64_t at, int64_t q) {
  static double parallel[M][M];
  for (int64_t block = 0; block < q * q; block++) {
    const int64_t top = block / q * M, left = block % q * M;
    get(at + block * BLOCK, BLOCK, parallel);
    for (int64_t i = 0; i < M; i++)
      for (int64_t j = 0; j < M; j++) {
        double sum = 0;
        for (int64_t k = 0; k < q * M; k++) sum += element(0, top + i, k) * element(1, k, left + j);
        CHECK(parallel[i][j] == sum);
      }
  }
}

int64_t DMI_thread(int64_t addr) {
  enter(addr);
  int64_t q = 1;
  while ((q + 1) * (q + 1) <= shared.threads) q++;
  const int64_t i = rank / q, j = rank % q, as = shared.data[0], cs = shared.data[1];
  const int64_t *bs = shared.data + 2; /* by parity of the step */
  while (again()) {
    const int in_grid = rank < q * q;
    if (in_grid) {
      for (int64_t x = 0; x < M; x++)
        for (int64_t y = 0; y < M; y++) a[x][y] = element(0, i * M + x, j * M + y), b[x][y] = element(1, i * M + x, j * M + y);
      take(as + rank * BLOCK, BLOCK, a);
      memset(c, 0, sizeof c);
    }
    meet();
    for (int64_t s = 0; s < q; s++) {
      if (in_grid) {
        if (s > 0) fetch(bs[s % 2] + rank * BLOCK, BLOCK, b);
        fetch(as + (i * q + (i + s) % q) * BLOCK, BLOCK, a);
        add_product();
        CHECK(DMI_yield());
        put(bs[(s + 1) % 2] + ((i + q - 1) % q * q + j) * BLOCK, BLOCK, b);
      }
      meet();
    }
    if (in_grid) take(cs + rank * BLOCK, BLOCK, c);
    meet();
    if (rank == 0) verify(cs, q);
  }
  return DONE;
}

void DMI_main(int argc, char **argv) {
  start(argc, argv);
  for (int i = 0; i < 4; i++) shared.data[i] = map(BLOCK, shared.threads);
  run_to_end("fox", 4);
}
