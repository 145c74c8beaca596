#include "huge_pages.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <algorithm>

namespace dmi::host {

bool permit_huge_pages(uint64_t start, uint64_t end) {
  static const char* const wanted = getenv("DMI_HOST_HUGE_PAGES");
  static const bool never = wanted && strcmp(wanted, "0") == 0;
  return !never && madvise(reinterpret_cast<void*>(start), end - start, MADV_HUGEPAGE) == 0;
}

bool PageSizeChoice::huge() const {
  if (steps_ < 2) return steps_ == 0;
  return steps_ == look_at_ ? !better_huge() : better_huge();
}

void PageSizeChoice::took(bool huge, uint64_t bytes, double seconds) {
  const bool before = better_huge();
  cost_[huge] = seconds / static_cast<double>(bytes);
  if (++steps_ <= 2) return;
  if (better_huge() != before) wait_ = kSoon;
  else if (huge != before) wait_ = std::min(2 * wait_, kSeldom);
  else if (steps_ <= look_at_) return;
  look_at_ = steps_ + wait_;
}

}  // namespace dmi::host
