// When a move's pages are compressed: on links and with pages of every kind, which are reckoned here and not timed.
#include <gtest/gtest.h>

#include <algorithm>

#include "host/compression.h"

namespace dmi::host {
namespace {

constexpr uint64_t kMiB = 1 << 20;

// A connection that swallows `buffer` bytes at once and passes on `link` bytes/s, and pages that lz4 makes `ratio` times smaller at
// `speed` bytes/s. The sender waits while the buffer is full, and packs while it empties.
struct Road {
  double link, ratio, speed;
  double buffer = 8.0 * kMiB, copying = 4e9;
  double queued = 0, seconds = 0;

  // Sends so much; gives how much of it was compressed.
  uint64_t send(Compression& c, uint64_t bytes) {
    uint64_t packed = 0;
    for (uint64_t done = 0, step = 0; done < bytes; done += step) {
      const bool pack = c.pack();
      step = std::min<uint64_t>(bytes - done, pack ? 256 << 10 : 4 * kMiB);
      const double wire = static_cast<double>(step) / (pack ? ratio : 1);
      const double packing = pack ? static_cast<double>(step) / speed : 0;
      queued = std::max(0.0, queued - packing * link);
      const double wait = std::max(wire / copying, (queued + wire - buffer) / link);
      queued = std::max(0.0, queued + wire - wait * link);
      c.sent(step, static_cast<uint64_t>(wire), packing + wait, packing);
      seconds += packing + wait;
      if (pack) packed += step;
    }
    return packed;
  }
};

constexpr double kGigabit = 118e6, kTenGigabit = 1.18e9, kLoopback = 3.5e9, kLz4 = 600e6;

// Of 1 GiB, how much is compressed.
double share(double link, double ratio, double speed) {
  Compression c(Compression::Mode::Auto);
  Road road{link, ratio, speed};
  return static_cast<double>(road.send(c, 1024 * kMiB)) / (1024.0 * kMiB);
}

TEST(Compression, IsUsedWhereTheLinkIsSlowerThanIt) {
  EXPECT_GT(share(kGigabit, 3, kLz4), 0.9);
  EXPECT_GT(share(kGigabit / 10, 1.5, kLz4), 0.9);
  EXPECT_GT(share(300e6, 3, kLz4), 0.9);
}

TEST(Compression, IsNotEvenTriedOnAFastLink) {
  EXPECT_EQ(share(kLoopback, 100, 3e9), 0);
  EXPECT_EQ(share(kTenGigabit, 100, 3e9), 0);
}

TEST(Compression, IsHardlyTriedWhereItDoesNotHelp) {
  EXPECT_GT(share(kGigabit, 1.1, kLz4), 0) << "without a try nobody knows";
  EXPECT_LT(share(kGigabit, 1.1, kLz4), 0.03) << "pages that hardly get smaller";
  EXPECT_LT(share(kGigabit, 1, kLz4), 0.03) << "noise";
  EXPECT_LT(share(500e6, 3, 400e6), 0.03) << "a processor slower than the link";
}

TEST(Compression, IsNotTriedInASmallMove) {
  Compression c(Compression::Mode::Auto);
  Road road{kGigabit, 3, kLz4};
  EXPECT_EQ(road.send(c, 4 * kMiB), 0u);
}

TEST(Compression, MakesTheMoveSooner) {
  for (const double link : {1e7, kGigabit, 3e8, 6e8, 9e8, kTenGigabit, kLoopback})
    for (const double ratio : {1.0, 1.15, 1.3, 2.0, 4.0, 100.0})
      for (const double speed : {1e8, 4e8, kLz4, 1e9}) {
        Compression never(Compression::Mode::Never), chosen(Compression::Mode::Auto);
        Road plain{link, ratio, speed}, road{link, ratio, speed};
        plain.send(never, 1024 * kMiB);
        road.send(chosen, 1024 * kMiB);
        EXPECT_LT(road.seconds, plain.seconds * 1.06) << "link " << link << " ratio " << ratio << " speed " << speed;
        if (link <= kGigabit && ratio >= 2 && speed >= 4e8) {
          EXPECT_LT(road.seconds, plain.seconds * 0.65) << "link " << link << " ratio " << ratio << " speed " << speed;
        }
      }
}

TEST(Compression, EndsWithPagesThatDoNotGiveWayAndBeginsAgainWithOnesThatDo) {
  Compression c(Compression::Mode::Auto);
  Road road{kGigabit, 3, kLz4};
  EXPECT_GT(road.send(c, 128 * kMiB), 96 * kMiB);
  road.ratio = 1;
  EXPECT_LT(road.send(c, 256 * kMiB), 16 * kMiB);
  road.ratio = 3;
  EXPECT_GT(road.send(c, 256 * kMiB), 160 * kMiB);
}

TEST(Compression, EndsWhenTheLinkGetsFaster) {
  Compression c(Compression::Mode::Auto);
  Road road{kGigabit, 3, kLz4};
  EXPECT_GT(road.send(c, 128 * kMiB), 96 * kMiB);
  road.link = kLoopback;
  road.send(c, 512 * kMiB);
  EXPECT_EQ(road.send(c, 256 * kMiB), 0u);
}

TEST(Compression, IsAsItIsToldToBe) {
  EXPECT_EQ(Compression::mode(nullptr), Compression::Mode::Never);
  EXPECT_EQ(Compression::mode("auto"), Compression::Mode::Auto);
  Compression never(Compression::mode("never")), always(Compression::mode("always"));
  EXPECT_FALSE(never.possible());
  Road slow{kGigabit / 100, 10, kLz4}, fast{kLoopback, 1, kLz4};
  EXPECT_EQ(slow.send(never, 64 * kMiB), 0u);
  EXPECT_EQ(fast.send(always, 64 * kMiB), 64 * kMiB);
}

}  // namespace
}  // namespace dmi::host
