#include "options.h"

#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "error.h"

namespace fem {
namespace {

const char kUsage[] =
    "usage: fem [options] DECK.inp\n"
    "\n"
    "Linear static stress analysis of an Abaqus/CalculiX deck (C3D4, C3D8, C3D10, C3D20, C3D20R).\n"
    "\n"
    "  --out PREFIX           write PREFIX.vtu and PREFIX.dat (default: the deck's name without .inp)\n"
    "  --tol T                stop at the relative residual T (default 1e-8)\n"
    "  --max-iterations N     give up after N iterations (default 50000)\n"
    "  --preconditioner P     jacobi: 3x3 blocks (default); cholesky: incomplete factors inside each domain\n"
    "  --solution FILE        write the displacements as raw doubles too\n"
    "  --quiet                no progress lines\n"
    "  --help                 this text\n"
    "\n"
    "On stdout: progress lines 'iteration N residual R', at most five a second, and at the end one line\n"
    "'result iterations=N relResidual=R seconds=S vtu=FILE'. The number of threads is DMI_THREADS (dmi run -n N).\n";

int usageError(const std::string& message) {
  std::fprintf(stderr, "fem: %s; see fem --help\n", message.c_str());
  return 2;
}

template <class T>
bool number(const char* text, T& value) {
  const auto [end, error] = std::from_chars(text, text + std::strlen(text), value);
  return error == std::errc() && *end == 0;
}

}  // namespace

bool parseOptions(int argc, char** argv, Options& o, int& status) {
  status = 2;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg == "--help" || arg == "-h") {
      std::fputs(kUsage, stdout);
      status = 0;
      return false;
    }
    if (arg == "--quiet") {
      o.quiet = true;
      continue;
    }
    if (!arg.starts_with("-")) {
      if (!o.deck.empty())
        return status = usageError("one deck at a time, not '" + o.deck + "' and '" + arg + "'"), false;
      o.deck = arg;
      continue;
    }
    const bool known = arg == "--out" || arg == "--tol" || arg == "--max-iterations" || arg == "--preconditioner" ||
                       arg == "--solution";
    if (!known) return status = usageError("unknown option " + arg), false;
    if (i + 1 == argc) return status = usageError(arg + " needs a value"), false;
    const char* value = argv[++i];
    bool good = true;
    if (arg == "--out") o.out = value;
    if (arg == "--solution") o.solution = value;
    if (arg == "--tol") good = number(value, o.cg.tolerance) && o.cg.tolerance > 0;
    if (arg == "--max-iterations") good = number(value, o.cg.maxIterations) && o.cg.maxIterations > 0;
    if (arg == "--preconditioner") {
      good = std::strcmp(value, "jacobi") == 0 || std::strcmp(value, "cholesky") == 0;
      o.preconditioner = value[0] == 'c' ? PreconditionerKind::Cholesky : PreconditionerKind::Jacobi;
    }
    if (!good) return status = usageError(arg + " cannot be '" + value + "'"), false;
  }
  if (o.deck.empty()) return status = usageError("no deck given"), false;
  if (o.out.empty()) {
    o.out = std::filesystem::path(o.deck).filename().string();
    if (o.out.ends_with(".inp")) o.out.resize(o.out.size() - 4);
  }
  return true;
}

void checkOutputs(const Options& o) {
  for (const auto& path : {o.out, o.solution}) {
    if (path.empty()) continue;
    auto directory = std::filesystem::path(path).parent_path().string();
    if (directory.empty()) directory = ".";
    if (access(directory.c_str(), W_OK) != 0)
      throw Error("cannot write " + path + ": no permission for " + directory +
                  ", or it does not exist; choose another place");
  }
}

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

void Progress::operator()(int iteration, double residual) {
  if (quiet_ || (last_ >= 0 && now() - last_ < 0.2)) return;
  last_ = now();
  std::printf("iteration %d residual %.2e\n", iteration, residual);
  std::fflush(stdout);
}

void printMesh(const std::string& deck, std::size_t nodes, std::size_t elements, std::size_t fixedDofs, int threads) {
  std::printf("deck %s nodes=%zu elements=%zu dof=%zu threads=%d\n", deck.c_str(), nodes, elements,
              3 * nodes - fixedDofs, threads);
  std::fflush(stdout);
}

void printResult(int iterations, double relResidual, double seconds, const std::string& vtu) {
  std::printf("result iterations=%d relResidual=%.3e seconds=%.3f vtu=%s\n", iterations, relResidual, seconds,
              vtu.c_str());
  std::fflush(stdout);
}

std::unique_ptr<Preconditioner> makePreconditioner(PreconditionerKind kind, const BlockMatrix& k) {
  return kind == PreconditionerKind::Cholesky ? blockCholesky(k) : blockJacobi(k);
}

void checkConverged(const CgResult& r, const CgOptions& o, const std::string& deck) {
  char text[64];
  std::snprintf(text, sizeof text, "%.2e after %d iterations", r.relResidual, r.iterations);
  if (r.indefinite)
    throw Error(deck + ": the stiffness matrix is not positive definite (residual " + text +
                "); check the supports and the elements' shapes");
  if (!r.converged) throw Error(deck + ": no convergence, residual " + text + "; raise --max-iterations or --tol");
  (void)o;
}

}  // namespace fem
