// What the threads of a run share, and where it lies in global memory.
//
//   control mapping, pages of kControlPage bytes:
//     [barrier] [read-write-set] [scheduler] [record of thread 0] [record of thread 1] ...
//   per thread, a mapping with its domain (from DMI_main to the thread) and one with its results (the other way)
//
// The address of its record is all a thread is given.
#pragma once

#include <cstdint>

#include "dmi_api.h"
#include "domain.h"
#include "options.h"
#include "results.h"

namespace fem {

inline constexpr std::int64_t kControlPage = 256;
inline constexpr std::int64_t kBulkPage = 1 << 18;  // domains and results are read and written once, in bulk

struct ThreadRecord {
  // Set by DMI_main.
  std::int32_t index, threads;
  std::int64_t barrier, rwset;
  std::int64_t nodes;                // of the whole mesh: the read-write-set's elements
  std::int64_t domain, domainBytes;  // packed Domain
  std::int64_t results;              // per owned node: 3 displacements, then per owned node 6 stresses
  CgOptions cg;
  PreconditionerKind preconditioner;
  std::int32_t quiet;
  // Set by the thread.
  std::int32_t iterations, converged, indefinite;
  std::int32_t machine;  // dmi_id where it ended
  double relResidual;
};
static_assert(sizeof(ThreadRecord) <= kControlPage && sizeof(DMI_barrier_t) <= kControlPage &&
              sizeof(DMI_rwset_t) <= kControlPage && sizeof(DMI_scheduler_t) <= kControlPage);

// Turns FALSE into an Error that names the call's purpose and the runtime's reason.
inline void require(std::int32_t ok, const char* what) {
  if (!ok) throw Error(std::string(what) + ": " + DMI_error());
}

}  // namespace fem
