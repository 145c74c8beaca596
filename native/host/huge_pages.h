// Huge pages (2 MiB). To make one ready, to copy it, and to find it in the page tables costs less than with 512 small ones, as long as
// the machine has them at hand; but who touches one byte has all of it. So they are for what is large and in use: mappings and runs of
// pages from kHugeFrom on. Where the kernel gives none (transparent_hugepage/enabled is `never`) pages are small.
#pragma once
#include <cstdint>

namespace dmi::host {

constexpr uint64_t kHugePage = 2 << 20;    // bytes
constexpr uint64_t kHugeFrom = 16 << 20;   // bytes

// Pages that come to be in [start, end), which is mapped, may be huge. False: not wanted (DMI_HOST_HUGE_PAGES=0), or the kernel will not.
// Any thread.
bool permit_huge_pages(uint64_t start, uint64_t end);

// Which page size to use for the next step, from what the steps so far took. On a virtual machine whose free memory went back to its
// owner huge pages take twice as long as small ones, elsewhere half the time, and which it is changes from one moment to the next: it is
// measured as it goes. The one that was slower is looked at again after a few steps, and ever less often while it stays so. Pure.
class PageSizeChoice {
 public:
  bool huge() const;                                     // for the next step
  void took(bool huge, uint64_t bytes, double seconds);  // a step, with pages of this size

 private:
  static constexpr int kSoon = 4, kSeldom = 128;  // steps between two looks at the slower one
  bool better_huge() const { return cost_[1] <= cost_[0]; }
  double cost_[2] = {};  // seconds per byte, of the last step with small and with huge pages
  int steps_ = 0, wait_ = kSoon, look_at_ = 2 + kSoon;
};

}  // namespace dmi::host
