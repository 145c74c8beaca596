// Members whose peers send garbage: frames that were valid until bytes of them were changed, cut off, doubled or replaced.
// Whatever comes, the engine does not crash, does not touch memory that is not its own (this runs under sanitizers too) and
// answers anything it can recognise as impossible by hanging up.
#include <gtest/gtest.h>

#include <fstream>
#include <list>

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

bool promises_any_memory() {  // such a kernel has nothing to refuse
  char overcommit = 0;
  std::ifstream("/proc/sys/vm/overcommit_memory") >> overcommit;
  return overcommit == '1';
}

// Then first touches of that member's pages found no memory, and the process ended of it.
TEST(HostilePeer, AnAuthorityThatLiesAboutThePageSize) {
  if (promises_any_memory()) return;
  struct Write {
    Op op;
    Piece piece;
    int64_t value = 7;
  };
  constexpr int64_t kLie = int64_t{1} << (kOffsetBits - 1);  // B
  std::list<Write> writes;  // some go to the liar, which does not answer
  World world(1);
  for (int i = 0; i < 2; i++) world.add(MemberState::Active, 1 << 20);
  world.publish();
  world.settle();
  world.tamper = [](World& w, MemberId, MemberId, Frame& f) {
    MapAns m;
    std::span<const std::byte> none;
    if (!decode(f.head, {}, m, none) || m.error) return true;
    m.page_size = kLie;
    m.page_count = 2;
    f.head = encode(m, w.epoch(), kInline);
    return true;
  };
  int given_up = 0;
  for (int i = 0; i < 16; i++) {
    SCOPED_TRACE(i);
    Op map;
    map.kind = OpKind::Mmap;
    map.size = 4096;
    map.value = 2;
    if (!world.submit(1, &map)) world.wait(&map, 1);
    ASSERT_EQ(map.error, 0);
    for (const int page : {1, 1, 0}) {
      auto& [write, piece, value] = writes.emplace_back();
      piece = {map.value + page * kLie, 8, reinterpret_cast<std::byte*>(&value)};
      write.kind = OpKind::Write;
      write.mode = Mode::Put;
      write.pieces = {&piece, 1};
      const bool now = world.submit(1, &write);
      world.settle();
      if (!now && !world.is_done(&write)) break;
      if (write.error) given_up++;
      EXPECT_TRUE(write.error == 0 || write.error == EFAULT) << write.error;
    }
  }
  EXPECT_GT(given_up, 8);
  for (auto& p : world.problems)
    if (p.starts_with("member 1")) { EXPECT_NE(p.find("for which there is no memory here: it is given up"), std::string::npos) << p; }
}

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
  if (promises_any_memory()) return;
  ASSERT_EQ(world.problems.size(), 2u);
  EXPECT_EQ(world.problems[0], "member 0: member 1 sent a message that asks for more memory than there is here; its connection is closed");
  EXPECT_EQ(world.problems[1], "member 0 hangs up on 1");
}

}  // namespace
}  // namespace dmi::memory::sim
