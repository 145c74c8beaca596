#include "pages.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <algorithm>

#include "error.h"
#include "platform.h"

namespace dmi::host {
namespace {

// From linux/fs.h of 6.7; Debian 12's headers are older.
struct PageRegion { uint64_t start, end, categories; };
struct ScanArgument {
  uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, category_inverted, category_mask, category_anyof_mask, return_mask;
};
constexpr unsigned long kScan = _IOWR('f', 16, ScanArgument);
constexpr uint64_t kProtectFound = 1 << 0;  // flag
constexpr uint64_t kWritten = 1 << 1, kFile = 1 << 2, kPresent = 1 << 3, kSwapped = 1 << 4, kZero = 1 << 5;

int pagemap() {
  static const int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  return fd;
}

void add(std::vector<Run>& runs, uint64_t start, uint64_t end) {
  if (!runs.empty() && runs.back().start + runs.back().size == start) runs.back().size += end - start;
  else runs.push_back({start, end - start});
}

// `written`: of the runs, those that were written; null: nobody asks.
bool scan(uint64_t start, uint64_t end, std::vector<Run>& runs, uint64_t flags = 0, uint64_t also = 0, std::vector<Run>* written = nullptr) {
  PageRegion found[256];
  while (start < end) {
    ScanArgument a{};
    a.size = sizeof a;
    a.start = start;
    a.end = end;
    a.vec = reinterpret_cast<uint64_t>(found);
    a.vec_len = std::size(found);
    a.category_inverted = kFile | kZero;
    a.category_mask = kFile | kZero;
    a.flags = flags;
    a.category_mask |= also;
    a.category_anyof_mask = kPresent | kSwapped;
    a.return_mask = written ? kWritten : kPresent;
    const int n = ioctl(pagemap(), kScan, &a);
    if (n < 0) return false;
    for (int i = 0; i < n; i++) {
      add(runs, found[i].start, found[i].end);
      if (written && (found[i].categories & kWritten)) add(*written, found[i].start, found[i].end);
    }
    if (a.walk_end <= start) break;
    start = a.walk_end;
  }
  return true;
}

void read_pagemap(uint64_t start, uint64_t end, std::vector<Run>& runs) {
  uint64_t entries[4096];
  while (start < end) {
    const size_t n = std::min<uint64_t>(std::size(entries), (end - start) / kPage);
    const ssize_t got = pread(pagemap(), entries, n * 8, static_cast<off_t>(start / kPage * 8));
    if (got <= 0) throw Error("refused", std::string("cannot read /proc/self/pagemap: ") + strerror(errno));
    for (size_t i = 0; i < static_cast<size_t>(got) / 8; i++, start += kPage) {
      const bool populated = entries[i] >> 62, file = entries[i] >> 61 & 1;
      if (populated && !file) add(runs, start, start + kPage);
    }
  }
}

}  // namespace

bool take_written_pages(uint64_t start, uint64_t end, std::vector<Run>& runs) {
  return scan(start, end, runs, kProtectFound, kWritten);
}

bool populated_and_written_pages(uint64_t start, uint64_t end, std::vector<Run>& populated, std::vector<Run>& written) {
  return scan(start, end, populated, 0, 0, &written);
}

void populated_pages(uint64_t start, uint64_t end, std::vector<Run>& runs) {
  static bool have_scan = true;
  if (have_scan && scan(start, end, runs)) return;
  have_scan = false;
  read_pagemap(start, end, runs);
}

std::vector<Run> difference(std::vector<Run> runs, std::vector<Run> others) {
  const auto by_start = [](const Run& a, const Run& b) { return a.start < b.start; };
  std::sort(runs.begin(), runs.end(), by_start);
  std::sort(others.begin(), others.end(), by_start);
  std::vector<Run> left;
  uint64_t done = 0;  // everything below has been dealt with
  size_t o = 0;
  for (const Run& r : runs) {
    uint64_t at = std::max(done, r.start);
    const uint64_t end = r.start + r.size;
    while (at < end) {
      while (o < others.size() && others[o].start + others[o].size <= at) o++;
      const uint64_t next = o < others.size() ? std::min(end, std::max(at, others[o].start)) : end;
      if (next > at) add(left, at, next);
      at = o < others.size() ? std::min(end, std::max(next, others[o].start + others[o].size)) : end;
    }
    done = std::max(done, end);
  }
  return left;
}

void within(const std::vector<Run>& runs, uint64_t start, uint64_t end, std::vector<Run>& found) {
  auto r = std::upper_bound(runs.begin(), runs.end(), start, [](uint64_t at, const Run& x) { return at < x.start + x.size; });
  for (; r != runs.end() && r->start < end; r++) {
    const uint64_t from = std::max(start, r->start);
    found.push_back({from, std::min(end, r->start + r->size) - from});
  }
}

std::vector<std::vector<Run>> portions(const std::vector<Run>& runs, uint64_t most) {
  std::vector<std::vector<Run>> all;
  uint64_t room = 0;
  for (Run r : runs) {
    while (r.size > 0) {
      if (room == 0) all.emplace_back(), room = most;
      const uint64_t part = std::min(room, r.size);
      all.back().push_back({r.start, part});
      r.start += part, r.size -= part, room -= part;
    }
  }
  return all;
}

}  // namespace dmi::host
