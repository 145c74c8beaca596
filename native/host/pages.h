// Which pages of a guest hold something of their own.
#pragma once
#include <cstdint>
#include <vector>

namespace dmi::host {

struct Run {
  uint64_t start = 0;
  uint64_t size = 0;  // bytes, whole pages
};

// Appends the runs of populated private pages in [start, end): not zero pages, not unchanged pages of a mapped file. Uses
// PAGEMAP_SCAN where the kernel has it (6.7), /proc/self/pagemap otherwise. Any host thread.
void populated_pages(uint64_t start, uint64_t end, std::vector<Run>& runs);

}  // namespace dmi::host
