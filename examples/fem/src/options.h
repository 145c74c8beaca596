// The command line, shared by fem (DMI threads) and fem-seq (one thread).
#pragma once

#include <string>

#include "cg.h"

namespace fem {

enum class PreconditionerKind : std::int32_t { Jacobi, Cholesky };

struct Options {
  std::string deck;
  std::string out;       // prefix of the .vtu and .dat files
  std::string solution;  // raw displacements; empty: not written
  CgOptions cg;
  PreconditionerKind preconditioner = PreconditionerKind::Jacobi;
  bool quiet = false;  // no progress lines
};

// Returns false when the program is to end now with `status` (0: help was asked for, 2: usage error); texts are
// printed.
bool parseOptions(int argc, char** argv, Options& options, int& status);

// Throws Error if the results could not be written, before time is spent on computing them.
void checkOutputs(const Options& options);

// Progress on stdout, at most five lines a second: "iteration 120 residual 3.40e-05".
class Progress {
 public:
  explicit Progress(bool quiet) : quiet_(quiet) {}
  void operator()(int iteration, double residual);

 private:
  bool quiet_;
  double last_ = -1;
};

double now();  // seconds of a monotonic clock

// The lines around a run, on stdout.
void printMesh(const std::string& deck, std::size_t nodes, std::size_t elements, std::size_t fixedDofs, int threads);
void printResult(int iterations, double relResidual, double seconds, const std::string& vtu);

std::unique_ptr<Preconditioner> makePreconditioner(PreconditionerKind kind, const BlockMatrix& k);

// Throws Error when the iteration did not end as it should.
void checkConverged(const CgResult& result, const CgOptions& options, const std::string& deck);

}  // namespace fem
