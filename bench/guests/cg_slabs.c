/* The conjugate-gradient kernel of ../peers/kernels.h over global memory. The faces of the residual are published before the
 * allreduce of its square, which every rank needs anyway, and fetched after it: with beta, the neighbours' faces of the search
 * direction follow from them, so the exchange needs no synchronisation of its own. */
#include "slabs.h"

#include "../peers/kernels.h"

int64_t DMI_thread(int64_t addr) {
  struct rank me = take_rank(addr);
  const int64_t side = CG_SIDE, plane = side * side;
  const int64_t first = first_plane(side, me.rank, me.slabs.ranks),
                planes = first_plane(side, me.rank + 1, me.slabs.ranks) - first, n = planes * plane;
  const struct rows m = laplacian(side, planes, first);
  double *halo = zeros(n + 2 * plane), *p = halo + plane, *u = zeros(n), *r = zeros(n), *q = zeros(n), batches[BATCHES];
  double *below = zeros(plane), *above = zeros(plane);
  for (int64_t i = 0; i < n; i++) r[i] = p[i] = 1 + (double)((i + first * plane) % 3);
  publish(&me, 1, r, r + n - plane);
  double rr = allreduce(&me, dot(r, r, n), DMI_OP_SUM);
  fetch(&me, 1, halo, p + n);
  for (int batch = -1; batch < BATCHES; batch++) {
    const double start = seconds();
    for (int k = 0; k < BATCH; k++) {
      multiply(&m, halo, q);
      const double alpha = rr / allreduce(&me, dot(p, q, n), DMI_OP_SUM);
      for (int64_t i = 0; i < n; i++) u[i] += alpha * p[i];
      for (int64_t i = 0; i < n; i++) r[i] -= alpha * q[i];
      publish(&me, k % 2, r, r + n - plane);
      const double next = allreduce(&me, dot(r, r, n), DMI_OP_SUM), beta = next / rr;
      rr = next;
      for (int64_t i = 0; i < n; i++) p[i] = r[i] + beta * p[i];
      fetch(&me, k % 2, below, above);
      for (int64_t i = 0; i < plane; i++) halo[i] = below[i] + beta * halo[i];
      for (int64_t i = 0; i < plane; i++) p[n + i] = above[i] + beta * p[n + i];
    }
    if (batch >= 0) batches[batch] = seconds() - start;
  }
  const double sum = allreduce(&me, dot(u, u, n), DMI_OP_SUM);
  if (me.rank == 0) report("cg-slabs", batches, sum);
  return 0;
}

void DMI_main(int argc, char **argv) {
  (void)argc, (void)argv;
  run_slabs(CG_SIDE * CG_SIDE);
}
