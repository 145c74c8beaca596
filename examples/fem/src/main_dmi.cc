// fem: linear static stress analysis by many DMI threads. DMI_main reads the deck and hands out domains, thread.cc
// solves, DMI_main gathers the results and writes the files.
#include <cstdio>
#include <cstdlib>

#include "job.h"

namespace {

using fem::require;

int threadCount() {
  const char* text = std::getenv("DMI_THREADS");
  const int n = text ? std::atoi(text) : 1;
  if (n < 1) throw fem::Error("DMI_THREADS is '" + std::string(text) + "'; start with dmi run -n N");
  return n;
}

std::int64_t map(std::int64_t bytes, std::int64_t pageSize, const char* what) {
  std::int64_t address;
  require(DMI_mmap(&address, pageSize, (bytes + pageSize - 1) / pageSize, nullptr), what);
  return address;
}

// The run's global memory; given back at the end.
class Job {
 public:
  Job(const fem::Options& options, std::size_t nodes, const std::vector<fem::Domain>& domains) : domains_(domains) {
    const auto n = static_cast<std::int64_t>(domains.size());
    control_ = map((3 + n) * fem::kControlPage, fem::kControlPage, "mapping the control pages");
    const auto rwset = control_ + fem::kControlPage;
    require(DMI_barrier_init(control_), "initialising the barrier");
    require(DMI_rwset_init(rwset, static_cast<std::int64_t>(nodes), 3 * sizeof(double), static_cast<std::int32_t>(n)),
            "initialising the read-write-set");
    require(DMI_scheduler_init(scheduler()), "initialising the scheduler");
    for (std::int32_t i = 0; i < n; ++i) {
      const auto& domain = domains[i];
      const auto bytes = fem::pack(domain);
      fem::ThreadRecord record{};
      record.index = i;
      record.threads = static_cast<std::int32_t>(n);
      record.barrier = control_;
      record.rwset = rwset;
      record.nodes = static_cast<std::int64_t>(nodes);
      record.domainBytes = static_cast<std::int64_t>(bytes.size());
      record.domain = map(record.domainBytes, fem::kBulkPage, "mapping a domain");
      record.results =
          map(static_cast<std::int64_t>(9 * sizeof(double)) * domain.owned, fem::kBulkPage, "mapping results");
      record.cg = options.cg;
      record.preconditioner = options.preconditioner;
      record.quiet = options.quiet;
      require(DMI_write(record.domain, record.domainBytes, bytes.data(), DMI_PUT, nullptr), "writing a domain");
      require(DMI_write(address(i), sizeof record, &record, DMI_PUT, nullptr), "writing a thread's record");
      records_.push_back(record);
    }
  }

  ~Job() {
    for (const auto& record : records_) {
      DMI_munmap(record.domain, nullptr);
      DMI_munmap(record.results, nullptr);
    }
    DMI_scheduler_destroy(scheduler());
    DMI_rwset_destroy(control_ + fem::kControlPage);
    DMI_barrier_destroy(control_);
    DMI_munmap(control_, nullptr);
  }
  Job(const Job&) = delete;

  // Starts all threads, waits for them, and takes in what they left in their records.
  void run() {
    std::vector<std::int32_t> ids(records_.size());
    for (std::size_t i = 0; i < ids.size(); ++i)
      require(DMI_scheduler_create(scheduler(), &ids[i], address(i)), "starting a thread");
    for (const auto id : ids) {
      std::int64_t ignored;
      require(DMI_scheduler_join(scheduler(), id, &ignored), "waiting for a thread");
    }
    for (std::size_t i = 0; i < records_.size(); ++i)
      require(DMI_read(address(i), sizeof records_[i], &records_[i], DMI_GET, nullptr), "reading a thread's record");
  }

  // All threads agree on these.
  fem::CgResult solved() const {
    const auto& r = records_.front();
    fem::CgResult result;
    result.iterations = r.iterations;
    result.relResidual = r.relResidual;
    result.converged = r.converged;
    result.indefinite = r.indefinite;
    return result;
  }

  fem::Results gather(std::size_t nodes) const {
    fem::Results results;
    results.u.resize(3 * nodes);
    results.stress.resize(nodes);
    results.thread.resize(nodes);
    results.machine.resize(nodes);
    for (std::size_t i = 0; i < records_.size(); ++i) {
      const auto& domain = domains_[i];
      const auto& record = records_[i];
      const auto owned = static_cast<std::size_t>(domain.owned);
      std::vector<double> values(9 * owned);
      require(DMI_read(record.results, static_cast<std::int64_t>(values.size() * sizeof(double)), values.data(),
                       DMI_GET, nullptr),
              "reading results");
      for (std::size_t k = 0; k < owned; ++k) {
        const auto n = static_cast<std::size_t>(domain.global[k]);
        for (std::size_t d = 0; d < 3; ++d) results.u[3 * n + d] = values[3 * k + d];
        for (std::size_t c = 0; c < 6; ++c) results.stress[n][c] = values[3 * owned + 6 * k + c];
        results.thread[n] = record.index;
        results.machine[n] = record.machine;
      }
    }
    return results;
  }

 private:
  std::int64_t scheduler() const { return control_ + 2 * fem::kControlPage; }
  std::int64_t address(std::size_t i) const {
    return control_ + (3 + static_cast<std::int64_t>(i)) * fem::kControlPage;
  }

  const std::vector<fem::Domain>& domains_;
  std::int64_t control_;
  std::vector<fem::ThreadRecord> records_;
};

void run(const fem::Options& options) {
  const double start = fem::now();
  const int threads = threadCount();
  fem::checkOutputs(options);
  const auto model = fem::buildModel(fem::readDeck(options.deck));
  fem::checkSupports(model, options.deck);
  const auto domains = fem::makeDomains(model, fem::partitionNodes(model, threads), threads);
  fem::printMesh(options.deck, model.x.size(), model.elements.size(), model.fixed.size(), threads);
  Job job(options, model.x.size(), domains);
  job.run();
  const auto solved = job.solved();
  fem::checkConverged(solved, options.cg, options.deck);
  const auto results = job.gather(model.x.size());
  fem::writeVtu(options.out + ".vtu", model, results);
  fem::writeDat(options.out + ".dat", model, results);
  if (!options.solution.empty()) fem::writeSolution(options.solution, results);
  std::printf("%s\n", fem::summary(model, results).c_str());
  fem::printResult(solved.iterations, solved.relResidual, fem::now() - start, options.out + ".vtu");
}

}  // namespace

extern "C" void DMI_main(int argc, char** argv) {
  fem::Options options;
  int status;
  if (!fem::parseOptions(argc, argv, options, status)) std::exit(status);
  try {
    run(options);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "fem: %s\n", e.what());
    std::exit(1);
  }
}
