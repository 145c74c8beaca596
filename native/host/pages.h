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

// Of those, the ones written since they were last taken where userfaultfd watches for writes, and all elsewhere. Taking skips
// mappings that are not watched. False: errno says why not.
enum class Written { Look, Take };
bool written_pages(uint64_t start, uint64_t end, Written how, std::vector<Run>& runs);

// What `runs` cover that `others` do not. Both in any order; the result ascends.
std::vector<Run> difference(std::vector<Run> runs, std::vector<Run> others);

}  // namespace dmi::host
