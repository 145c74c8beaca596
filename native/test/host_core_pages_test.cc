// What a mover sees in the page tables: which pages hold something, and which were written since they were last taken.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <set>
#include <vector>

#include "host/dirty_pages.h"
#include "host/pages.h"
#include "host/platform.h"

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

class WatchedPages : public testing::Test {
 protected:
  void SetUp() override {
    mmap(reinterpret_cast<void*>(kBase), kPages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
  }
  void TearDown() override { munmap(reinterpret_cast<void*>(kBase), kPages * kPage); }
};

TEST_F(WatchedPages, AreSeenAsTheyAre) {
  Numbers there;
  for (uint64_t page = 0; page < kPages; page += 1 + page % 3) write(page), there.insert(page);
  std::vector<host::Run> populated;
  populated_pages(kBase, kBase + kPages * kPage, populated);
  EXPECT_EQ(numbers(populated), there);

  DirtyPages dirty({{kBase, kPages * kPage}});
  if (!dirty.watching()) GTEST_SKIP() << "this kernel cannot watch pages being written, so threads stand still while they move and there is nothing to test: " << dirty.why_not();
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
  if (!dirty.watching()) GTEST_SKIP() << "this kernel cannot watch pages being written, so threads stand still while they move and there is nothing to test: " << dirty.why_not();
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

}  // namespace
}  // namespace dmi::host
