#include "../host/populate.h"
#include "../host/huge_pages.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vector>

namespace dmi::host {
namespace {

// How many of 200 steps use huge pages on a machine where a step takes that long with small and with huge ones.
int huge_steps(double small, double huge) {
  PageSizeChoice choice;
  int count = 0;
  for (int i = 0; i < 200; i++) {
    const bool now = choice.huge();
    count += now;
    choice.took(now, 4 << 20, now ? huge : small);
  }
  return count;
}

TEST(PageSizeChoice, SettlesForTheFasterAndLooksAtTheOtherNowAndThen) {
  EXPECT_GT(huge_steps(3, 1), 185);
  EXPECT_LT(huge_steps(3, 1), 200);
  EXPECT_LT(huge_steps(1, 3), 15);
  EXPECT_GT(huge_steps(1, 3), 1);
}

TEST(PageSizeChoice, ChangesItsMindWhenTheMachineDoes) {
  PageSizeChoice choice;
  int last = 0;
  for (int i = 0; i < 200; i++) {
    const bool huge = choice.huge();
    choice.took(huge, 4 << 20, huge == (i < 100) ? 1 : 3);
    if (i >= 150) last += huge;
  }
  EXPECT_LT(last, 10);
}

TEST(PageSizeChoice, IsSoonBackAfterOneSlowStep) {
  PageSizeChoice choice;
  int huge_ones = 0;
  for (int i = 0; i < 200; i++) {
    const bool huge = choice.huge();
    huge_ones += huge;
    choice.took(huge, 4 << 20, huge ? (i % 50 == 20 ? 5 : 1) : 2);
  }
  EXPECT_GT(huge_ones, 160);
}

TEST(Populator, LeavesARangeReadyWithWhatWasWrittenMeanwhile) {
  const size_t size = (64 << 20) + 3 * 4096;
  auto* p = static_cast<char*>(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(p, MAP_FAILED);
  {
    Populator ahead(reinterpret_cast<uint64_t>(p), size);
    for (size_t i = 0; i < size; i += 4096) p[i] = static_cast<char>(i >> 12 | 1);
  }
  for (size_t i = 0; i < size; i += 4096) ASSERT_EQ(p[i], static_cast<char>(i >> 12 | 1)) << i;
  std::vector<unsigned char> present(size / 4096);
  ASSERT_EQ(mincore(p, size, present.data()), 0);
  for (unsigned char c : present) ASSERT_EQ(c & 1, 1);
  munmap(p, size);
}

}  // namespace
}  // namespace dmi::host
