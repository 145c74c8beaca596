/* product ROUNDS GO: waits in the middle until GO exists; matrix products by a BLAS, checked against sums by hand. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void dgemm_(const char *, const char *, const int *, const int *, const int *, const double *, const double *, const int *,
            const double *, const int *, const double *, double *, const int *);

enum { N = 120 };
static double a[N * N], b[N * N], c[N * N];

int main(int argc, char **argv) {
  int n = N, rounds = argc > 1 ? atoi(argv[1]) : 10;
  double one = 1, zero = 0;
  for (int r = 0; r < rounds; r++) {
    while (argc > 2 && r == rounds / 2 && access(argv[2], F_OK) != 0) continue;
    for (int i = 0; i < N * N; i++) a[i] = (i * 7 + r) % 11, b[i] = (i * 5 + r) % 13;
    dgemm_("N", "N", &n, &n, &n, &one, a, &n, b, &n, &zero, c, &n);
    for (int k = 0; k < 50; k++) {
      int i = (k * 37 + r) % N, j = (k * 91) % N;
      double sum = 0;
      for (int l = 0; l < N; l++) sum += a[i + l * N] * b[l + j * N];
      if (c[i + j * N] != sum) return printf("round %d: %g instead of %g\n", r, c[i + j * N], sum), 1;
    }
    printf("round %d\n", r);
    fflush(stdout);
  }
  return 5;
}
