/* The Jacobi kernel over MPI: faces by non-blocking sends and receives, once a batch the largest change by allreduce.
 *   mpirun -np RANKS build/jacobi_mpi NAME */
#include <mpi.h>

#include "kernels.h"

int main(int argc, char **argv) {
  MPI_Init(&argc, &argv);
  int rank, ranks;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  const int64_t n = JACOBI_SIDE, step = padded_plane(n);
  const int64_t first = first_plane(n, rank, ranks), planes = first_plane(n, rank + 1, ranks) - first;
  const int below = rank > 0 ? rank - 1 : MPI_PROC_NULL, above = rank < ranks - 1 ? rank + 1 : MPI_PROC_NULL;
  double *a = new_slab(planes, n, rank == 0), *b = new_slab(planes, n, rank == 0), batches[BATCHES];
  for (int batch = -1; batch < BATCHES; batch++) {
    const double start = seconds();
    double change = 0, most;
    for (int i = 0; i < BATCH; i++) {
      change = sweep(a, b, planes, n);
      double *t = a;
      a = b, b = t;
      MPI_Request all[4];
      MPI_Irecv(a, (int)step, MPI_DOUBLE, below, 0, MPI_COMM_WORLD, &all[0]);
      MPI_Irecv(a + (planes + 1) * step, (int)step, MPI_DOUBLE, above, 1, MPI_COMM_WORLD, &all[1]);
      MPI_Isend(a + step, (int)step, MPI_DOUBLE, below, 1, MPI_COMM_WORLD, &all[2]);
      MPI_Isend(a + planes * step, (int)step, MPI_DOUBLE, above, 0, MPI_COMM_WORLD, &all[3]);
      MPI_Waitall(4, all, MPI_STATUSES_IGNORE);
    }
    MPI_Allreduce(&change, &most, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    if (batch >= 0) batches[batch] = seconds() - start;
  }
  double mine = sum_of_slab(a, planes, n), sum;
  MPI_Reduce(&mine, &sum, 1, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD);
  if (rank == 0) report(argc > 1 ? argv[1] : "jacobi-mpi", batches, sum);
  MPI_Finalize();
  return 0;
}
