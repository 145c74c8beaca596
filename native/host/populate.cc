#include "populate.h"

#include <sys/mman.h>

#include <algorithm>

#include "huge_pages.h"
#include "platform.h"
#include "signals.h"

namespace dmi::host {
namespace {
constexpr uint64_t kStep = 4 << 20;  // bytes, a multiple of a huge page
}

Populator::Populator(uint64_t start, uint64_t size) : reached_(start), thread_([this, start, size] { run(start + size); }) {}

Populator::~Populator() {
  reached_ = UINT64_MAX;
  thread_.join();
}

void Populator::run(uint64_t end) {
  block_all_signals();
  PageSizeChoice choice;
  uint64_t lowest = end;  // of what has huge pages
  for (uint64_t at = end; at > reached_.load();) {
    const uint64_t next = std::max((at - 1) & ~(kStep - 1), reached_.load());
    if (next >= at) break;
    const bool whole = at - next == kStep, huge = whole && choice.huge();
    auto* p = reinterpret_cast<void*>(next);
    const double begin = monotonic_seconds();
    if (huge && permit_huge_pages(next, at)) lowest = next;
    madvise(p, at - next, MADV_POPULATE_WRITE);  // what it does not reach is populated by who touches it
    if (whole) choice.took(huge, kStep, monotonic_seconds() - begin);
    at = next;
  }
  // One mapping again, not one for each change of mind.
  if (lowest < end) permit_huge_pages(lowest, end & ~(kStep - 1));
}

}  // namespace dmi::host
