// The engine under the simulator, and the simulator's own teeth: it must catch bugs that are planted on purpose.
#include <gtest/gtest.h>

#include "memory/core/wire.h"
#include "memory/sim/history.h"
#include "memory/sim/run.h"

namespace dmi::memory::sim {
namespace {

Options options(uint64_t seed, int members, int threads, int steps, int check) {
  Options o;
  o.seed = seed;
  o.members = members;
  o.threads = threads;
  o.steps = steps;
  o.check_level = check;
  return o;
}

TEST(Simulator, HoldsWhileMembersComeAndGo) {
  for (uint64_t seed = 1; seed <= 60; seed++) EXPECT_EQ(run(options(seed, 4, 10, 4000, 1)).failure, "");
}
TEST(Simulator, HoldsWithFullChecksAfterEveryEvent) {
  for (uint64_t seed = 100; seed < 110; seed++) EXPECT_EQ(run(options(seed, 3, 8, 3000, 2)).failure, "");
}
TEST(Simulator, HoldsWhilePoolsAreTooSmall) {
  uint64_t evicted = 0, swapped = 0;
  for (uint64_t seed = 200; seed < 215; seed++) {
    auto o = options(seed, 4, 10, 4000, 2);
    o.pool = 6'000;  // four of them, for 21,000 bytes of pages and copies of them
    const auto r = run(o);
    EXPECT_EQ(r.failure, "");
    evicted += r.evicted;
    swapped += r.swapped;
  }
  EXPECT_GT(evicted, 200u);
  EXPECT_GT(swapped, 200u);
}
TEST(Simulator, HoldsOnOneMember) { EXPECT_EQ(run(options(7, 1, 10, 2000, 1)).failure, ""); }
TEST(Simulator, HoldsWithManyMembers) { EXPECT_EQ(run(options(3, 40, 60, 10000, 1)).failure, ""); }

MsgKind kind_of(const Frame& f) { return static_cast<MsgKind>(f.head[0]); }

// How many of ten seeds notice.
int caught(const std::function<bool(World&, MemberId, MemberId, Frame&)>& tamper) {
  int n = 0;
  for (uint64_t seed = 1; seed <= 10; seed++) {
    auto o = options(seed, 3, 10, 4000, 0);
    o.churn = false;
    o.tamper = tamper;
    n += !run(o).failure.empty();
  }
  return n;
}

TEST(PlantedBug, InvalidationThatIsAcknowledgedButNotDone) {
  EXPECT_GT(caught([](World& w, MemberId from, MemberId to, Frame& f) {
    if (kind_of(f) != MsgKind::Invalidate) return true;
    Invalidate m;
    std::span<const std::byte> data;
    decode(f.head, {}, m, data);
    Frame ack;
    ack.head = encode(Ack{m.key, m.ver, false}, 1, kInline);
    w.inject(to, from, std::move(ack));
    return false;
  }), 5);
}
TEST(PlantedBug, UpdateThatIsAcknowledgedButLost) {
  EXPECT_GT(caught([](World& w, MemberId from, MemberId to, Frame& f) {
    if (kind_of(f) != MsgKind::Stage) return true;
    Stage m;
    std::span<const std::byte> data;
    if (!decode(f.head, {}, m, data)) return true;
    Frame ack;
    ack.head = encode(Ack{m.key, m.ver, true}, 1, kInline);
    w.inject(to, from, std::move(ack));
    return false;
  }), 5);
}
TEST(PlantedBug, RequestThatIsDeliveredTwice) {
  EXPECT_GT(caught([](World& w, MemberId from, MemberId to, Frame& f) {
    static int n = 0;
    PageReq m;
    std::span<const std::byte> data;
    if (kind_of(f) != MsgKind::PageReq || !f.body.empty() || !decode(f.head, {}, m, data) || m.kind != OpKind::Fad || ++n % 3) return true;
    Frame again;
    m.op = ~0ull;  // nobody waits for the second answer
    again.head = encode(m, 1, kInline);
    Writer(again.head).raw(data.data(), data.size());
    w.inject(from, to, std::move(again));
    return true;
  }), 5);
}

TEST(History, AcceptsWhatIsLinearizableAndRefusesWhatIsNot) {
  const auto op = [](PageOp::Kind kind, uint64_t in, uint64_t out, uint64_t call, uint64_t ret) {
    PageOp o;
    o.kind = kind;
    o.in[0] = in;
    o.out[0] = out;
    o.call = call;
    o.ret = ret;
    return o;
  };
  History good;  // a read that overlaps the write may see either
  good.begin(op(PageOp::Write, 5, 0, 0, 10));
  good.begin(op(PageOp::Read, 0, 5, 1, 2));
  good.begin(op(PageOp::Read, 0, 5, 3, 4));
  EXPECT_EQ(good.check(), "");
  History stale;  // new, then old
  stale.begin(op(PageOp::Write, 5, 0, 0, 10));
  stale.begin(op(PageOp::Read, 0, 5, 1, 2));
  stale.begin(op(PageOp::Read, 0, 0, 3, 4));
  EXPECT_NE(stale.check(), "");
  History lost;
  lost.begin(op(PageOp::Fad, 1, 0, 0, 5));
  lost.begin(op(PageOp::Fad, 1, 0, 1, 6));
  EXPECT_NE(lost.check(), "");
  History pending;  // never returned, yet seen
  pending.begin(op(PageOp::Write, 9, 0, 0, kPending));
  pending.begin(op(PageOp::Read, 0, 9, 5, 6));
  EXPECT_EQ(pending.check(), "");
}

}  // namespace
}  // namespace dmi::memory::sim
