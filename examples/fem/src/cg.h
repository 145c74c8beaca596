// Preconditioned conjugate gradients over domains (Saad, "Iterative Methods for Sparse Linear Systems", algorithm 9.1).
//
// How the domains talk is a parameter, so the same loop runs in one thread and in many:
//   void publish(const double* values)   hands out this domain's owned values (3 per owned node)
//   void fetch(double* values)           the ghosts' values, as their owners last published them
//   double sum(double)                   over all domains, the same bits everywhere; returns when all have called it
//   void pause()                         once per iteration: the thread may be moved here
//
// Two sums per iteration are all the synchronisation there is. They also order the exchange, without a barrier:
//   publish(z)  ->  sum(r.z)  ->  fetch(z of ghosts)  ->  sum(p.Kp)  ->  publish(next z)
// Nobody fetches before everybody has published (first sum), and nobody publishes again before everybody has fetched
// (second sum). The ghosts of p are computed here from the ghosts of z, as p = z + beta p on both sides.
#pragma once

#include <cmath>
#include <functional>

#include "preconditioner.h"
#include "system.h"

namespace fem {

struct CgOptions {
  double tolerance = 1e-8;  // of |f - K u| / |f|, f after elimination of the prescribed displacements
  int maxIterations = 50000;
  int checkEvery = 10;  // iterations between evaluations of the residual's norm (one more sum each)
};

struct CgResult {
  std::vector<double> u;  // 3 per local node, ghosts included
  int iterations = 0;
  double relResidual = 0;  // recomputed from u at the end, not the recurrence's
  bool converged = false;
  bool indefinite = false;  // p.Kp <= 0 was met: the structure is not held, or an element is degenerate
};

inline double dotProduct(const double* a, const double* b, std::size_t n) {
  double s = 0;
  for (std::size_t i = 0; i < n; ++i) s += a[i] * b[i];
  return s;
}

// `progress(iteration, relativeResidual)` is called whenever the residual has been evaluated.
template <class Comm>
CgResult solve(const Domain& domain, const System& system, const Preconditioner& m, const CgOptions& options,
               Comm& comm, const std::function<void(int, double)>& progress) {
  const std::size_t n = system.f.size(), local = 3 * domain.global.size();
  CgResult result;
  result.u.assign(local, 0.0);
  auto& u = result.u;
  std::vector<double> r(n), z(n), q(n), p(local, 0.0), ghost(local - n);
  for (std::size_t i = 0; i < n; ++i) u[i] = system.u0[i];
  // Rows of prescribed displacements read u = value and couple to nothing, so the start satisfies them.
  multiply(system.k, u, r);
  for (std::size_t i = 0; i < n; ++i) r[i] = system.f[i] - r[i];

  const double f2 = comm.sum(dotProduct(r.data(), r.data(), n));
  m.apply(r, z);
  comm.publish(z.data());
  double rz = comm.sum(dotProduct(r.data(), z.data(), n)), rzOld = 0;
  // A small system is solved before the next check is due; going on would divide by next to nothing.
  const double rzSolved = 1e-2 * options.tolerance * options.tolerance * rz;
  result.converged = f2 == 0;
  while (!result.converged && result.iterations < options.maxIterations) {
    comm.fetch(ghost.data());
    const double beta = result.iterations == 0 ? 0 : rz / rzOld;
    for (std::size_t i = 0; i < n; ++i) p[i] = z[i] + beta * p[i];
    for (std::size_t i = n; i < local; ++i) p[i] = ghost[i - n] + beta * p[i];
    multiply(system.k, p, q);
    const double pq = comm.sum(dotProduct(p.data(), q.data(), n));
    if (!(pq > 0)) {
      result.indefinite = true;
      break;
    }
    const double alpha = rz / pq;
    for (std::size_t i = 0; i < n; ++i) u[i] += alpha * p[i];
    for (std::size_t i = 0; i < n; ++i) r[i] -= alpha * q[i];
    m.apply(r, z);
    comm.publish(z.data());
    rzOld = rz;
    rz = comm.sum(dotProduct(r.data(), z.data(), n));
    ++result.iterations;
    if (result.iterations % options.checkEvery == 0 || rz <= rzSolved) {
      const double relative = std::sqrt(comm.sum(dotProduct(r.data(), r.data(), n)) / f2);
      progress(result.iterations, relative);
      result.converged = relative <= options.tolerance;
    }
    comm.pause();
  }

  // The ghosts of u, and the residual as it really is. The last sum above came after every fetch.
  comm.publish(u.data());
  comm.sum(0);
  comm.fetch(u.data() + n);
  multiply(system.k, u, q);
  for (std::size_t i = 0; i < n; ++i) r[i] = system.f[i] - q[i];
  const double r2 = comm.sum(dotProduct(r.data(), r.data(), n));
  result.relResidual = f2 > 0 ? std::sqrt(r2 / f2) : 0;
  return result;
}

}  // namespace fem
