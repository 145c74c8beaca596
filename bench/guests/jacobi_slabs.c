/* The Jacobi kernel of ../peers/kernels.h over global memory: faces published and fetched, one barrier an iteration, once a batch
 * the largest change by allreduce. jacobi_slabs NAME */
#include "slabs.h"

#include "../peers/kernels.h"

int64_t DMI_thread(int64_t addr) {
  struct rank me = take_rank(addr);
  const int64_t n = JACOBI_SIDE, step = padded_plane(n);
  const int64_t first = first_plane(n, me.rank, me.slabs.ranks), planes = first_plane(n, me.rank + 1, me.slabs.ranks) - first;
  double *a = new_slab(planes, n, me.rank == 0), *b = new_slab(planes, n, me.rank == 0), batches[BATCHES];
  for (int batch = -1; batch < BATCHES; batch++) {
    const double start = seconds();
    double change = 0;
    for (int i = 0; i < BATCH; i++) {
      change = sweep(a, b, planes, n);
      double *t = a;
      a = b, b = t;
      publish(&me, i % 2, a + step, a + planes * step);
      BENCH_CHECK(DMI_local_barrier_sync(&me.barrier, (int32_t)me.slabs.ranks));
      fetch(&me, i % 2, a, a + (planes + 1) * step);
    }
    allreduce(&me, change, DMI_OP_MAX);
    if (batch >= 0) batches[batch] = seconds() - start;
  }
  const double sum = allreduce(&me, sum_of_slab(a, planes, n), DMI_OP_SUM);
  if (me.rank == 0) report("jacobi-slabs", batches, sum);
  return 0;
}

void DMI_main(int argc, char **argv) {
  (void)argc, (void)argv;
  run_slabs(padded_plane(JACOBI_SIDE));
}
