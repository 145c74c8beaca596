// Arrivals are promised memory that is there, and only once.
#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

#include "host/admission.h"

namespace dmi::host {
namespace {

constexpr uint64_t kMiB = 1 << 20;

TEST(Admission, PromisesNoMoreThanThereIs) {
  uint64_t room = 100 * kMiB;
  Admission door([&] { return room; });
  std::string why;
  auto first = door.admit(60 * kMiB, why), second = door.admit(40 * kMiB, why);
  ASSERT_TRUE(first && second);
  EXPECT_FALSE(door.admit(1, why));
  EXPECT_EQ(why, "it has 1 B, and there is room for 0 B (besides 100 MiB of others on their way)");
  second.reset();  // called off
  EXPECT_TRUE(door.admit(40 * kMiB, why));
}

TEST(Admission, WhatHasComeIsPromisedNoMore) {
  uint64_t room = 100 * kMiB;
  Admission door([&] { return room; });
  std::string why;
  auto first = door.admit(60 * kMiB, why);
  ASSERT_TRUE(first);
  room -= 50 * kMiB;  // so much is in use now
  first->came(50 * kMiB);
  EXPECT_FALSE(door.admit(41 * kMiB, why));
  EXPECT_EQ(why, "it has 41.0 MiB, and there is room for 40.0 MiB (besides 10.0 MiB of others on their way)");
  EXPECT_TRUE(door.admit(40 * kMiB, why));
  first->came(500 * kMiB);  // more than it said: pages were sent twice
  room -= 10 * kMiB;
  first.reset();
  EXPECT_TRUE(door.admit(40 * kMiB, why));
}

TEST(Admission, RefusesWhatIsLargerThanEverything) {
  Admission door([] { return uint64_t{0}; });
  std::string why;
  EXPECT_FALSE(door.admit(5ull << 30, why));
  EXPECT_EQ(why, "it has 5.0 GiB, and there is room for 0 B");
}

TEST(Admission, IsExactFromManyThreads) {
  Admission door([] { return 64 * kMiB; });
  std::atomic<int> admitted{0};
  std::vector<std::vector<Admission::Ticket>> held(8);
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; t++)
    threads.emplace_back([&, t] {
      std::string why;
      for (int i = 0; i < 32; i++)
        if (auto ticket = door.admit(kMiB, why)) admitted++, held[static_cast<size_t>(t)].push_back(std::move(*ticket));
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(admitted, 64);
}

TEST(Admission, RoomIsWithinTheMachine) {
  EXPECT_GT(memory_room(), 0u);
  EXPECT_LT(memory_room(), 1ull << 50);
}

}  // namespace
}  // namespace dmi::host
