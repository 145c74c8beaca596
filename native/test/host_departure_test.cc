#include "../host/departure.h"

#include <gtest/gtest.h>

namespace dmi::host {
namespace {

struct Hosted : testing::Test {
  Departure departure;
  int threads = 0, begun = 0;
  void SetUp() override {
    departure.empty = [this] { return threads == 0; };
    departure.begin = [this] { begun++; };
  }
};

TEST_F(Hosted, AnEmptyHostLeavesWhenAsked) {
  EXPECT_FALSE(departure.asked());
  departure.ask();
  EXPECT_TRUE(departure.asked());
  EXPECT_EQ(begun, 1);
  departure.ask();
  departure.thread_gone();
  EXPECT_EQ(begun, 1) << "only once";
}

TEST_F(Hosted, AHostWithThreadsLeavesAfterTheLast) {
  threads = 2;
  departure.ask();
  threads = 1;
  departure.thread_gone();
  EXPECT_EQ(begun, 0);
  threads = 0;
  departure.thread_gone();
  EXPECT_EQ(begun, 1);
}

TEST_F(Hosted, AThreadOnItsWayOutKeepsTheHostUntilItHasArrived) {
  threads = 1;
  ASSERT_TRUE(departure.enter());
  departure.ask();
  threads = 0;  // committed, but the destination has not confirmed
  departure.thread_gone();
  EXPECT_EQ(begun, 0);
  departure.exit();
  EXPECT_EQ(begun, 1);
}

TEST_F(Hosted, AThreadOnItsWayInKeepsTheHost) {
  ASSERT_TRUE(departure.enter());
  departure.ask();
  EXPECT_EQ(begun, 0);
  threads = 1;
  departure.exit();
  EXPECT_EQ(begun, 0) << "it has arrived";
  threads = 0;
  departure.thread_gone();
  EXPECT_EQ(begun, 1);
}

TEST_F(Hosted, NobodyEntersAHostThatHandsOver) {
  departure.ask();
  EXPECT_FALSE(departure.enter());
}

}  // namespace
}  // namespace dmi::host
