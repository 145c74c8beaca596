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

// Of those, the ones written since they were last taken; they count as taken now. Skips mappings that userfaultfd does not watch for
// writes. False: errno says why not.
bool take_written_pages(uint64_t start, uint64_t end, std::vector<Run>& runs);

// All of them, and those written since they were last taken (where nobody watches, all), from one look at the page tables, which takes
// milliseconds per GiB. False: errno says why not.
bool populated_and_written_pages(uint64_t start, uint64_t end, std::vector<Run>& populated, std::vector<Run>& written);

// What `runs` cover that `others` do not. Both in any order; the result ascends.
std::vector<Run> difference(std::vector<Run> runs, std::vector<Run> others);

// What of ascending runs lies in [start, end), appended.
void within(const std::vector<Run>& runs, uint64_t start, uint64_t end, std::vector<Run>& found);

// The same runs in lists of at most so many bytes each, whole pages.
std::vector<std::vector<Run>> portions(const std::vector<Run>& runs, uint64_t most);

}  // namespace dmi::host
