// fem-seq: the same deck, elements, matrix and iteration in one thread without DMI. The reference for everything else.
#include <cstdio>

#include "domain.h"
#include "options.h"
#include "results.h"

namespace {

struct Alone {
  void publish(const double*) {}
  void fetch(double*) {}
  double sum(double v) { return v; }
  void pause() {}
};

void run(const fem::Options& options) {
  const double start = fem::now();
  fem::checkOutputs(options);
  const auto model = fem::buildModel(fem::readDeck(options.deck));
  fem::checkSupports(model, options.deck);
  fem::printMesh(options.deck, model.x.size(), model.elements.size(), model.fixed.size(), 1);
  const auto domain = fem::makeDomains(model, std::vector<std::int32_t>(model.x.size(), 0), 1).front();
  const auto system = fem::assemble(domain);
  const auto preconditioner = fem::makePreconditioner(options.preconditioner, system.k);
  Alone alone;
  fem::Progress progress(options.quiet);
  const auto solved = fem::solve(domain, system, *preconditioner, options.cg, alone, std::ref(progress));
  fem::checkConverged(solved, options.cg, options.deck);

  fem::Results results;
  results.u = solved.u;
  results.stress = fem::averageStress(domain, domain.owned, solved.u.data());
  results.thread.assign(model.x.size(), 0);
  results.machine.assign(model.x.size(), 0);
  fem::writeVtu(options.out + ".vtu", model, results);
  fem::writeDat(options.out + ".dat", model, results);
  if (!options.solution.empty()) fem::writeSolution(options.solution, results);
  std::printf("%s\n", fem::summary(model, results).c_str());
  fem::printResult(solved.iterations, solved.relResidual, fem::now() - start, options.out + ".vtu");
}

}  // namespace

int main(int argc, char** argv) {
  fem::Options options;
  int status;
  if (!fem::parseOptions(argc, argv, options, status)) return status;
  try {
    run(options);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "fem-seq: %s\n", e.what());
    return 1;
  }
  return 0;
}
