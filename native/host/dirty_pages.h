// Which pages of a running thread have been written since they were last asked for: userfaultfd's asynchronous write
// protection with PAGEMAP_SCAN (Linux 6.7). A page's first write after a look costs the thread about 1 µs.
#pragma once
#include <string>
#include <vector>

#include "pages.h"

namespace dmi::host {

class DirtyPages {
 public:
  // Watches these ranges from now on; all their pages count as written. watching() is false where the kernel will not.
  explicit DirtyPages(const std::vector<Run>& ranges);
  ~DirtyPages();  // watching ends: takes its time, unless the ranges are not mapped any more
  DirtyPages(const DirtyPages&) = delete;
  DirtyPages& operator=(const DirtyPages&) = delete;

  bool watching() const { return fd_ >= 0; }
  const std::string& why_not() const { return why_not_; }
  // Appends the runs of populated private pages in [start, end), of a watched range, that were written since they were last
  // taken.
  void take(uint64_t start, uint64_t end, std::vector<Run>& runs);
  // Of any range: its populated pages, and those of them that were written; where nobody has watched, all. They are not taken.
  void look(uint64_t start, uint64_t end, std::vector<Run>& populated, std::vector<Run>& written);

 private:
  int fd_ = -1;
  std::string why_not_;
};

}  // namespace dmi::host
