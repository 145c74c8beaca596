// What a mover sees in the page tables: which pages hold something, and which were written since they were last taken.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <set>
#include <vector>

#include "host/dirty_pages.h"
#include "host/huge_pages.h"
#include "host/pages.h"
#include "host/platform.h"
#include "host/signals.h"
#include "host/zero_pages.h"

namespace dmi::host {
namespace {

constexpr uint64_t kBase = 0x2000'0000'0000;
constexpr uint64_t kPages = 1200;  // more than the kernel tells of at once

using Numbers = std::set<uint64_t>;

Numbers numbers(const std::vector<host::Run>& runs) {
  Numbers all;
  for (const host::Run& r : runs)
    for (uint64_t at = r.start; at < r.start + r.size; at += kPage) all.insert((at - kBase) / kPage);
  return all;
}

void write(uint64_t page) { *reinterpret_cast<volatile char*>(kBase + page * kPage) = 1; }

class Pages : public testing::Test {
 protected:
  void SetUp() override {
    mmap(reinterpret_cast<void*>(kBase), kPages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
  }
  void TearDown() override { munmap(reinterpret_cast<void*>(kBase), kPages * kPage); }

  static Numbers write_some() {
    Numbers there;
    for (uint64_t page = 0; page < kPages; page += 1 + page % 3) write(page), there.insert(page);
    return there;
  }
  static Numbers populated(uint64_t bytes = kPages * kPage) {
    std::vector<host::Run> runs;
    populated_pages(kBase, kBase + bytes, runs);
    return numbers(runs);
  }
};

TEST_F(Pages, ThatWereWrittenAreThere) {
  const Numbers there = write_some();
  EXPECT_EQ(populated(), there);
}

TEST_F(Pages, OfZerosAreFoundWhereThereAreManyTogether) {
  install_signal_handlers();
  for (uint64_t page = 0; page < 100; page++) write(page);
  const auto clear = [](uint64_t first, uint64_t end) { memset(reinterpret_cast<void*>(kBase + first * kPage), 0, (end - first) * kPage); };
  clear(10, 20), clear(30, 32), clear(40, 60), clear(90, 100);
  reinterpret_cast<volatile char*>(kBase)[50 * kPage + kPage - 1] = 1;  // its very last byte
  Numbers zeros;
  for (uint64_t page = 10; page < 20; page++) zeros.insert(page);
  for (uint64_t page = 40; page < 60; page++) zeros.insert(page);
  for (uint64_t page = 90; page < 100; page++) zeros.insert(page);
  zeros.erase(50);
  EXPECT_EQ(numbers(zero_pages({{kBase, 100 * kPage}})), zeros);
  // Gone, or closed, while somebody looks: that is not zeros, and nobody's end.
  munmap(reinterpret_cast<void*>(kBase + 40 * kPage), 5 * kPage);
  mprotect(reinterpret_cast<void*>(kBase + 90 * kPage), 10 * kPage, PROT_NONE);
  for (uint64_t page = 40; page < 45; page++) zeros.erase(page);
  for (uint64_t page = 90; page < 100; page++) zeros.erase(page);
  EXPECT_EQ(numbers(zero_pages({{kBase, 100 * kPage}})), zeros);
}

class WatchedPages : public Pages {
 protected:
  void SetUp() override {
    Pages::SetUp();
    const DirtyPages dirty({{kBase, kPages * kPage}});
    if (!dirty.watching())
      GTEST_SKIP() << "pages can be watched from Linux 6.7 on, and where userfaultfd is permitted; here threads stand still while they move, "
                      "and nothing of what is tested here ever runs: " << dirty.why_not();
  }
};

TEST_F(WatchedPages, AreSeenAsTheyAre) {
  Numbers there = write_some();
  std::vector<host::Run> populated;
  DirtyPages dirty({{kBase, kPages * kPage}});
  std::vector<host::Run> taken;
  dirty.take(kBase, kBase + kPages * kPage, taken);
  EXPECT_EQ(numbers(taken), there) << "all count as written at first";

  Numbers again;
  for (const uint64_t page : {0ul, 1ul, 2ul, 600ul, 601ul, kPages - 1}) write(page), again.insert(page), there.insert(page);
  for (int i = 0; i < 2; i++) {  // to look is not to take
    std::vector<host::Run> written;
    populated.clear();
    dirty.look(kBase, kBase + kPages * kPage, populated, written);
    EXPECT_EQ(numbers(populated), there);
    EXPECT_EQ(numbers(written), again);
  }
  taken.clear();
  dirty.take(kBase, kBase + kPages * kPage, taken);
  EXPECT_EQ(numbers(taken), again);
  std::vector<host::Run> written;
  dirty.look(kBase, kBase + kPages * kPage, populated, written);
  EXPECT_TRUE(written.empty());
}

TEST_F(WatchedPages, WhereNobodyWatchesAllCountAsWritten) {
  constexpr uint64_t kHalf = kPages / 2;
  for (uint64_t page = 0; page < kPages; page += 2) write(page);
  DirtyPages dirty({{kBase, kHalf * kPage}});
  std::vector<host::Run> populated, written;
  dirty.take(kBase, kBase + kHalf * kPage, populated);
  populated.clear();
  dirty.look(kBase, kBase + kPages * kPage, populated, written);
  Numbers unwatched;
  for (uint64_t page = 0; page < kPages; page += 2)
    if (page >= kHalf) unwatched.insert(page);
  EXPECT_EQ(numbers(populated).size(), kPages / 2);
  EXPECT_EQ(numbers(written), unwatched);
}

// A huge page is seen as the pages that it is made of: one that was only read is not there, and of one that is written to only that.
TEST_F(WatchedPages, AreSeenOneByOneInHugePagesToo) {
  constexpr uint64_t kHugePages = 4, kSmall = kHugePage / kPage;
  mmap(reinterpret_cast<void*>(kBase), kHugePages * kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
  permit_huge_pages(kBase, kBase + kHugePages * kHugePage);  // where the kernel has none, small ones have to do, and all holds
  Numbers there;
  for (uint64_t page = kSmall; page < 3 * kSmall; page++) write(page), there.insert(page);
  volatile char seen = *reinterpret_cast<volatile char*>(kBase + 3 * kHugePage + 5 * kPage);
  (void)seen;
  EXPECT_EQ(Pages::populated(kHugePages * kHugePage), there);

  std::vector<host::Run> populated, written, taken;
  DirtyPages dirty({{kBase, kHugePages * kHugePage}});
  dirty.take(kBase, kBase + kHugePages * kHugePage, taken);
  EXPECT_EQ(numbers(taken), there);
  Numbers again{kSmall + 7, 2 * kSmall, 3 * kSmall + 9};
  for (const uint64_t page : again) write(page), there.insert(page);
  populated.clear();
  dirty.look(kBase, kBase + kHugePages * kHugePage, populated, written);
  for (const uint64_t page : numbers(written)) EXPECT_TRUE(again.contains(page) || page >= 3 * kSmall) << page << " was not written";
  for (const uint64_t page : again) EXPECT_TRUE(numbers(written).contains(page)) << page;
  for (const uint64_t page : there) EXPECT_TRUE(numbers(populated).contains(page)) << page;
  munmap(reinterpret_cast<void*>(kBase), kHugePages * kHugePage);
}

}  // namespace
}  // namespace dmi::host
