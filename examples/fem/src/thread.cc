// What one DMI thread does: reads its domain, assembles, takes part in the iteration, leaves its results.
// Everything it computes with is private memory and moves with it; what it shares goes through DMI calls.
#include <cstdio>
#include <cstdlib>

#include "job.h"

namespace fem {
namespace {

class DmiComm {
 public:
  DmiComm(const ThreadRecord& record, const Domain& domain) : threads_(record.threads), alone_(domain.ghosts() == 0) {
    const auto* owned = domain.global.data();
    require(DMI_rwset_decompose(record.rwset, record.index, owned, domain.owned), "declaring the nodes a thread owns");
    require(DMI_local_rwset_init(&rwset_, record.rwset, record.index, owned + domain.owned,
                                 static_cast<std::int32_t>(domain.ghosts())),
            "declaring the ghost nodes");
    require(DMI_local_barrier_init(&barrier_, record.barrier), "joining the barrier");
  }
  ~DmiComm() {
    DMI_local_barrier_destroy(&barrier_);
    DMI_local_rwset_destroy(&rwset_);
  }
  DmiComm(const DmiComm&) = delete;

  void publish(const double* values) {
    if (!alone_) require(DMI_local_rwset_write(&rwset_, values, nullptr), "publishing values at the border");
  }
  void fetch(double* values) {
    if (!alone_) require(DMI_local_rwset_read(&rwset_, values, nullptr), "fetching values of ghosts");
  }
  double sum(double value) {
    double total = 0;
    require(DMI_local_barrier_allreduce(&barrier_, threads_, &value, &total, DMI_OP_SUM, DMI_TYPE_DOUBLE),
            "summing over the threads");
    return total;
  }
  void pause() { DMI_yield(); }

 private:
  std::int32_t threads_;
  bool alone_;  // no neighbours: a single domain, or a part of the mesh of its own
  DMI_local_rwset_t rwset_;
  DMI_local_barrier_t barrier_;
};

Domain readDomain(const ThreadRecord& record) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(record.domainBytes));
  require(DMI_read(record.domain, record.domainBytes, bytes.data(), DMI_GET, nullptr), "reading a thread's domain");
  return unpack(bytes);
}

void writeResults(const ThreadRecord& record, const Domain& domain, const CgResult& solved) {
  const auto stress = averageStress(domain, domain.owned, solved.u.data());
  const auto uBytes = static_cast<std::int64_t>(3 * sizeof(double)) * domain.owned;
  const auto stressBytes = static_cast<std::int64_t>(sizeof(Stress)) * domain.owned;
  require(DMI_write(record.results, uBytes, solved.u.data(), DMI_PUT, nullptr), "writing displacements");
  require(DMI_write(record.results + uBytes, stressBytes, stress.data(), DMI_PUT, nullptr), "writing stresses");
}

void run(std::int64_t address) {
  ThreadRecord record;
  require(DMI_read(address, sizeof record, &record, DMI_GET, nullptr), "reading a thread's record");
  const auto domain = readDomain(record);
  const auto system = assemble(domain);
  const auto preconditioner = makePreconditioner(record.preconditioner, system.k);
  DmiComm comm(record, domain);
  Progress progress(record.quiet || record.index != 0);
  const auto solved = solve(domain, system, *preconditioner, record.cg, comm, std::ref(progress));

  if (solved.converged) writeResults(record, domain, solved);
  record.iterations = solved.iterations;
  record.converged = solved.converged;
  record.indefinite = solved.indefinite;
  record.relResidual = solved.relResidual;
  require(DMI_rank(&record.machine), "asking for the node");
  require(DMI_write(address, sizeof record, &record, DMI_PUT, nullptr), "writing a thread's record");
}

}  // namespace
}  // namespace fem

extern "C" std::int64_t DMI_thread(std::int64_t address) {
  try {
    fem::run(address);
    return 0;
  } catch (const std::exception& e) {
    // The others wait for this thread in the next sum and would wait for ever: only the end of the job helps them.
    std::fprintf(stderr, "fem: %s\n", e.what());
    std::fflush(nullptr);
    std::abort();
  }
}
