// Members whose peers send garbage: frames that were valid until bytes of them were changed, cut off, doubled or replaced.
// Whatever comes, the engine does not crash, does not touch memory that is not its own (this runs under sanitizers too) and
// answers anything it can recognise as impossible by hanging up.
#include <gtest/gtest.h>

#include <fstream>

#include "fuzz/memory_frames.h"

namespace dmi::memory::sim {
namespace {

constexpr uint64_t kHostileSeeds = 100;

TEST(HostilePeer, GarbageInValidFrames) {
  uint64_t spoilt = 0, hung_up = 0;
  for (uint64_t seed = 1; seed <= kHostileSeeds; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const auto r = run_hostile(seed);
    spoilt += r.spoilt;
    hung_up += r.hung_up;
  }
  EXPECT_GT(spoilt, 10 * kHostileSeeds);
  EXPECT_GT(hung_up, kHostileSeeds);
}

// A barrier message that claimed four thousand million arrivals had each of them answered.
TEST(HostilePeer, ACountThatCannotBe) { run_hostile(313); }

// A member that makes us the owner of a page of 1 TiB, the most that the wire can say.
TEST(HostilePeer, APageLargerThanMemory) {
  World world(1);
  for (int i = 0; i < 2; i++) world.add(MemberState::Active, 1 << 20);
  world.publish();
  world.settle();
  PageReq m;
  m.requester = 1;
  m.since = world.epoch();
  m.op = 1;
  m.flags = PageReq::kViaHome | PageReq::kCreate;
  m.page_size = int64_t{1} << kOffsetBits;
  m.page_count = 1;
  m.parts = {{0, uint64_t{5} << kOffsetBits, 0, 8}};
  Frame f;
  f.head = encode(m, world.epoch(), kInline);
  world.inject(1, 0, std::move(f));
  world.settle();
  char overcommit = 0;
  std::ifstream("/proc/sys/vm/overcommit_memory") >> overcommit;
  if (overcommit == '1') return;  // such a kernel promises any amount: nothing to refuse
  ASSERT_EQ(world.problems.size(), 2u);
  EXPECT_EQ(world.problems[0], "member 0: member 1 sent a message that asks for more memory than there is here; its connection is closed");
  EXPECT_EQ(world.problems[1], "member 0 hangs up on 1");
}

}  // namespace
}  // namespace dmi::memory::sim
