/* The conjugate-gradient kernel over MPI: two allreduces an iteration, faces by non-blocking sends and receives.
 *   mpirun -np RANKS build/cg_mpi NAME */
#include <mpi.h>

#include "kernels.h"

static double sum_of_all(double mine) {
  double sum;
  MPI_Allreduce(&mine, &sum, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
  return sum;
}

int main(int argc, char **argv) {
  MPI_Init(&argc, &argv);
  int rank, ranks;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  const int64_t side = CG_SIDE, plane = side * side;
  const int64_t first = first_plane(side, rank, ranks), planes = first_plane(side, rank + 1, ranks) - first, n = planes * plane;
  const int below = rank > 0 ? rank - 1 : MPI_PROC_NULL, above = rank < ranks - 1 ? rank + 1 : MPI_PROC_NULL;
  const struct rows m = laplacian(side, planes, first);
  double *halo = zeros(n + 2 * plane), *p = halo + plane, *u = zeros(n), *r = zeros(n), *q = zeros(n), batches[BATCHES];
  for (int64_t i = 0; i < n; i++) r[i] = p[i] = 1 + (double)((i + first * plane) % 3);
  double rr = sum_of_all(dot(r, r, n));
  for (int batch = -1; batch < BATCHES; batch++) {
    const double start = seconds();
    for (int k = 0; k < BATCH; k++) {
      MPI_Request all[4];
      MPI_Irecv(halo, (int)plane, MPI_DOUBLE, below, 0, MPI_COMM_WORLD, &all[0]);
      MPI_Irecv(p + n, (int)plane, MPI_DOUBLE, above, 1, MPI_COMM_WORLD, &all[1]);
      MPI_Isend(p, (int)plane, MPI_DOUBLE, below, 1, MPI_COMM_WORLD, &all[2]);
      MPI_Isend(p + n - plane, (int)plane, MPI_DOUBLE, above, 0, MPI_COMM_WORLD, &all[3]);
      MPI_Waitall(4, all, MPI_STATUSES_IGNORE);
      multiply(&m, halo, q);
      const double alpha = rr / sum_of_all(dot(p, q, n));
      for (int64_t i = 0; i < n; i++) u[i] += alpha * p[i];
      for (int64_t i = 0; i < n; i++) r[i] -= alpha * q[i];
      const double next = sum_of_all(dot(r, r, n)), beta = next / rr;
      rr = next;
      for (int64_t i = 0; i < n; i++) p[i] = r[i] + beta * p[i];
    }
    if (batch >= 0) batches[batch] = seconds() - start;
  }
  const double sum = sum_of_all(dot(u, u, n));
  if (rank == 0) report(argc > 1 ? argv[1] : "cg-mpi", batches, sum);
  MPI_Finalize();
  return 0;
}
