// The engine under the simulator, and the simulator's own teeth: it must catch bugs that are planted on purpose.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "memory/core/wire.h"
#include "memory/sim/checks.h"
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
// From 2 to 200 members, as every seed chooses (scenario() in run.h). `npm run soak` goes on from here.
TEST(Simulator, HoldsForAMillionStepsWithTwoToTwoHundredMembers) {
  uint64_t steps = 0, operations = 0, joins = 0, drains = 0, deaths = 0, slowed = 0, rests = 0, seed = 1000;
  int fewest = 1000, most = 0;
  const char* fewer = getenv("DMI_SIM_STEPS");  // under sanitizers
  const uint64_t wanted = fewer ? std::strtoull(fewer, nullptr, 0) : 1'000'000;
  for (; steps < wanted; seed++) {
    const auto o = scenario(seed);
    const auto r = run(o);
    ASSERT_EQ(r.failure, "");
    steps += r.steps, operations += r.operations, joins += r.joins, drains += r.drains, deaths += r.deaths, slowed += r.slowed, rests += r.rests;
    fewest = std::min(fewest, o.members);
    most = std::max(most, o.members);
  }
  std::printf("[   STEPS  ] %llu random steps of %llu jobs of %d to %d members: %llu operations, %llu joins, %llu drains, %llu deaths, %llu slow spells, %llu rests\n",
              static_cast<unsigned long long>(steps), static_cast<unsigned long long>(seed - 1000), fewest, most, static_cast<unsigned long long>(operations),
              static_cast<unsigned long long>(joins), static_cast<unsigned long long>(drains), static_cast<unsigned long long>(deaths),
              static_cast<unsigned long long>(slowed), static_cast<unsigned long long>(rests));
  if (fewer) return;
  EXPECT_LE(fewest, 3);
  EXPECT_GE(most, 150);
  for (auto n : {joins, drains, deaths, slowed, rests}) EXPECT_GT(n, 50u);
}
TEST(Simulator, HoldsOnOneMember) { EXPECT_EQ(run(options(7, 1, 10, 2000, 1)).failure, ""); }
TEST(Simulator, HoldsWithManyMembers) { EXPECT_EQ(run(options(3, 40, 60, 10000, 1)).failure, ""); }

// Tries every order of the operations not in `placed`, on one word.
bool some_order_explains(History& h, uint32_t placed, uint64_t word) {
  bool all = true;
  for (size_t i = 0; i < h.size(); i++) all &= (placed >> i & 1) || h[i].ret == kPending;
  if (all) return true;
  for (size_t i = 0; i < h.size(); i++) {
    if (placed >> i & 1) continue;
    const auto& o = h[i];
    bool may_be_next = true;  // nothing that is still to come returned before it was called
    for (size_t k = 0; k < h.size(); k++)
      if (!(placed >> k & 1) && h[k].ret < o.call) may_be_next = false;
    if (!may_be_next) continue;
    const bool pending = o.ret == kPending;
    uint64_t after = word;
    bool fits = true;
    switch (o.kind) {
      case PageOp::Read: fits = pending || o.out[0] == word; break;
      case PageOp::Write: after = o.in[0]; break;
      case PageOp::Cas:
        fits = pending || (o.out[0] == 1) == (word == o.in[0]);
        if (word == o.in[0]) after = o.in[1];
        break;
      case PageOp::Fas: fits = pending || o.out[0] == word; after = o.in[0]; break;
      case PageOp::Fad: fits = pending || o.out[0] == word; after = word + o.in[0]; break;
    }
    if (fits && some_order_explains(h, placed | 1u << i, after)) return true;
  }
  return false;
}
std::string text(History& h) {
  std::string all;
  for (size_t i = 0; i < h.size(); i++) all += h[i].text() + "\n";
  return all;
}

MsgKind kind_of(const Frame& f) { return static_cast<MsgKind>(f.head[0]); }

// How many of ten seeds notice, in the words given.
int caught(const std::function<bool(World&, MemberId, MemberId, Frame&)>& tamper, const char* saying = "") {
  int n = 0;
  for (uint64_t seed = 1; seed <= 10; seed++) {
    auto o = options(seed, 3, 10, 4000, 0);
    o.churn = false;
    o.tamper = tamper;
    const auto failure = run(o).failure;
    n += !failure.empty() && failure.find(saying) != std::string::npos;
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
// The same bug, seen before anybody in the job has noticed.
TEST(PlantedBug, ACopyThatIsStaleAfterItsAcknowledgementIsSeenAtOnce) {
  EXPECT_GT(caught([](World& w, MemberId from, MemberId to, Frame& f) {
    if (kind_of(f) != MsgKind::Invalidate) return true;
    Invalidate m;
    std::span<const std::byte> data;
    decode(f.head, {}, m, data);
    Frame ack;
    ack.head = encode(Ack{m.key, m.ver, false}, 1, kInline);
    w.inject(to, from, std::move(ack));
    return false;
  }, "is stale"), 3);
}
// Its grant is ignored by everybody: only counting finds it.
TEST(PlantedBug, AWaiterThatNobodyIs) {
  EXPECT_GT(caught([](World& w, MemberId from, MemberId to, Frame& f) {
    SyncReq m;
    std::span<const std::byte> data;
    if (kind_of(f) != MsgKind::SyncReq || !decode(f.head, {}, m, data) || m.kind != static_cast<uint8_t>(OpKind::EventWait) || m.id >> 60) return true;
    Frame again;
    m.id |= 1ull << 60;
    again.head = encode(m, 1, kInline);
    w.inject(from, to, std::move(again));
    return true;
  }, "threads wait, but homes know of"), 5);
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

TEST(Queue, NobodyIsOvertaken) {
  EXPECT_EQ(overtaken({1, 2, 3}, {1, 2, 3, 4}), 0u);
  EXPECT_EQ(overtaken({1, 2, 3}, {3, 4}), 0u);
  EXPECT_EQ(overtaken({1, 2, 3}, {4, 5}), 0u);
  EXPECT_EQ(overtaken({1, 2, 3}, {1, 3}), 1u);
  EXPECT_EQ(overtaken({1, 2, 3}, {1, 2}), 1u);
  EXPECT_EQ(overtaken({1, 2, 3}, {2, 1, 3}), 1u);
  EXPECT_EQ(overtaken({1, 2, 3}, {4, 2, 3}), 2u);
}

// Small histories, most of them not linearizable, against trying every order.
TEST(History, AgreesWithTryingEveryOrder) {
  std::mt19937_64 random(11);
  int good = 0, bad = 0;
  for (int round = 0; round < 20'000; round++) {
    History h;
    const int n = 2 + static_cast<int>(random() % 5);
    for (int i = 0; i < n; i++) {
      PageOp o;
      o.kind = static_cast<PageOp::Kind>(random() % 5);
      o.in = {random() % 3, random() % 3};
      o.out = {o.kind == PageOp::Cas ? random() % 2 : random() % 3, 0};
      o.call = random() % 20;
      o.ret = random() % 8 == 0 ? kPending : o.call + 1 + random() % 12;
      h.begin(o);
    }
    const bool expected = some_order_explains(h, 0, 0);
    (expected ? good : bad)++;
    ASSERT_EQ(h.check().empty(), expected) << "round " << round << "\n" << text(h);
  }
  EXPECT_GT(good, 2000);
  EXPECT_GT(bad, 2000);
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
