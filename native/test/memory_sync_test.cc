// Synchronisation objects on a quiet network: who is let in, in which order, and what parking keeps.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "memory/core/sync_objects.h"
#include "memory/sim/world.h"

namespace dmi::memory {
namespace {

using sim::World;

struct Sync : ::testing::Test {
  Sync() : world(7) {
    world.check_level = 2;
    for (int i = 0; i < 3; i++) world.add();
    world.publish();
    world.settle();
    Op op;
    op.kind = OpKind::Mmap;
    op.size = 64;
    op.value = 64;
    if (!world.submit(0, &op)) world.wait(&op, 0);
    base = op.value;
  }
  void TearDown() override {
    world.settle();
    for (auto& p : world.problems) ADD_FAILURE() << p;
  }
  Op make(OpKind kind, GlobalAddr addr, ThreadKey thread) {
    Op op;
    op.kind = kind;
    op.addr = addr;
    op.thread = thread;
    return op;
  }
  int run(MemberId at, OpKind kind, GlobalAddr addr, ThreadKey thread) {
    Op op = make(kind, addr, thread);
    if (!world.submit(at, &op)) world.wait(&op, at);
    value = op.value;
    message = op.message;
    return op.error;
  }
  bool start(MemberId at, Op& op) {  // true: complete after everything has come to rest
    const bool now = world.submit(at, &op);
    world.settle();
    return now || world.is_done(&op);
  }
  // An address from `from` on whose objects are homed at that member (or are not).
  GlobalAddr homed(MemberId at, bool here, GlobalAddr from) {
    for (auto addr = from; addr < base + 64 * 64; addr++) {
      const auto before = world.node(at).engine->stats().messages_sent;
      run(at, OpKind::CondSignal, addr, 1);
      if ((world.node(at).engine->stats().messages_sent == before) == here) return addr;
    }
    throw std::runtime_error("no such address");
  }
  World world;
  GlobalAddr base = 0;
  int64_t value = 0;
  std::string message;
};

TEST_F(Sync, MutexGoesToWaitersInOrder) {
  for (auto mutex : {base, base + 64, base + 128, base + 200}) {
    EXPECT_EQ(run(0, OpKind::MutexLock, mutex, 1), 0);
    Op a = make(OpKind::MutexLock, mutex, 2), b = make(OpKind::MutexLock, mutex, 3);
    EXPECT_FALSE(start(1, a));
    EXPECT_FALSE(start(2, b));
    EXPECT_EQ(run(2, OpKind::MutexTryLock, mutex, 4), 0);
    EXPECT_EQ(value, 0);
    EXPECT_EQ(run(2, OpKind::MutexUnlock, mutex, 3), EPERM);
    EXPECT_FALSE(message.empty());
    EXPECT_EQ(run(0, OpKind::MutexLock, mutex, 1), EDEADLK);
    EXPECT_EQ(run(1, OpKind::ObjectDestroy, mutex, 1), EBUSY);
    EXPECT_EQ(run(0, OpKind::MutexUnlock, mutex, 1), 0);
    world.settle();
    EXPECT_TRUE(world.is_done(&a));
    EXPECT_FALSE(world.is_done(&b));
    EXPECT_EQ(run(1, OpKind::MutexUnlock, mutex, 2), 0);
    world.settle();
    EXPECT_TRUE(world.is_done(&b));
    EXPECT_EQ(run(2, OpKind::MutexUnlock, mutex, 3), 0);
    EXPECT_EQ(run(2, OpKind::MutexTryLock, mutex, 3), 0);
    EXPECT_EQ(value, 1);
    EXPECT_EQ(run(2, OpKind::MutexUnlock, mutex, 3), 0);
    EXPECT_EQ(run(2, OpKind::MutexUnlock, mutex, 3), EPERM);
  }
}

TEST_F(Sync, ConditionReleasesAndRetakesTheMutex) {
  const auto mutex = base, condition = base + 64;
  EXPECT_EQ(run(0, OpKind::MutexLock, mutex, 1), 0);
  Op wait = make(OpKind::CondWait, condition, 1);
  wait.addr2 = mutex;
  EXPECT_FALSE(start(0, wait));
  EXPECT_EQ(run(1, OpKind::MutexLock, mutex, 2), 0);  // released
  EXPECT_EQ(run(1, OpKind::ObjectDestroy, condition, 2), EBUSY);
  EXPECT_EQ(run(1, OpKind::CondSignal, condition, 2), 0);
  world.settle();
  EXPECT_FALSE(world.is_done(&wait));                  // signalled, but the mutex is taken
  EXPECT_EQ(run(1, OpKind::MutexUnlock, mutex, 2), 0);
  world.settle();
  EXPECT_TRUE(world.is_done(&wait));
  EXPECT_EQ(wait.error, 0);
  EXPECT_EQ(run(0, OpKind::MutexUnlock, mutex, 1), 0);
  Op stray = make(OpKind::CondWait, condition, 5);     // without the mutex
  stray.addr2 = mutex;
  EXPECT_TRUE(start(2, stray));
  EXPECT_EQ(stray.error, EPERM);
}

TEST_F(Sync, BarrierLetsAllGoTogetherAndCountsWhoCame) {
  std::vector<Op> ops(6, make(OpKind::Barrier, base + 8, 1));
  for (auto& op : ops) op.pnum = 6;
  for (int i = 0; i < 5; i++) EXPECT_FALSE(start(i % 3, ops[static_cast<size_t>(i)]));
  for (int m = 0; m < 3; m++) world.flush(m);
  world.settle();
  for (int i = 0; i < 5; i++) EXPECT_FALSE(world.is_done(&ops[static_cast<size_t>(i)]));
  world.submit(2, &ops[5]);
  world.flush(2);
  world.settle();
  Op wrong = make(OpKind::Barrier, base + 8, 1);
  wrong.pnum = 0;
  EXPECT_TRUE(world.submit(0, &wrong));
  EXPECT_EQ(wrong.error, EINVAL);
}

TEST_F(Sync, ParkedWaiterKeepsItsPlaceAndItsGrant) {
  const auto mutex = base + 300;
  EXPECT_EQ(run(0, OpKind::MutexLock, mutex, 1), 0);
  Op a = make(OpKind::MutexLock, mutex, 2), b = make(OpKind::MutexLock, mutex, 3);
  EXPECT_FALSE(start(1, a));
  EXPECT_FALSE(start(2, b));
  world.park(1, &a);
  world.settle();
  EXPECT_TRUE(world.is_done(&a));
  EXPECT_TRUE(a.parked);
  EXPECT_NE(a.waiter, 0u);
  EXPECT_EQ(run(0, OpKind::MutexUnlock, mutex, 1), 0);
  world.settle();
  EXPECT_FALSE(world.is_done(&b));  // a is first, though it is nowhere
  Op again = make(OpKind::MutexLock, mutex, 2);
  again.waiter = a.waiter;
  const bool now = world.resume(2, &again);
  world.settle();
  EXPECT_TRUE(now || world.is_done(&again));
  EXPECT_FALSE(again.parked);
  EXPECT_EQ(run(2, OpKind::MutexUnlock, mutex, 2), 0);
  world.settle();
  EXPECT_TRUE(world.is_done(&b));
}

TEST_F(Sync, ArrivalsStayAtTheirHomeUntilStrangersComeOrAllAreThere) {
  const auto here = homed(0, true, base + 400);
  for (const int strangers : {0, 1, 2}) {
    SCOPED_TRACE(strangers);
    std::vector<Op> ops(4, make(OpKind::Allreduce, here, 1));
    std::vector<int64_t> in(4), out(4);
    for (size_t i = 0; i < 4; i++) {
      in[i] = 1 << i;
      ops[i].pnum = 4;
      ops[i].reduce_type = ReduceType::LongLong;
      ops[i].in = reinterpret_cast<const std::byte*>(&in[i]);
      ops[i].out = reinterpret_cast<std::byte*>(&out[i]);
    }
    const auto sent = world.node(0).engine->stats().messages_sent;
    for (int i = 0; i < 3 - strangers; i++) EXPECT_FALSE(start(0, ops[static_cast<size_t>(i)]));
    EXPECT_FALSE(world.node(0).engine->wants_flush());
    EXPECT_EQ(world.node(0).engine->stats().messages_sent, sent);
    for (int i = 3 - strangers; i < 3; i++) {
      EXPECT_FALSE(start(i, ops[static_cast<size_t>(i)]));
      world.flush(i);
      world.settle();
    }
    EXPECT_FALSE(world.any_done());
    if (!start(0, ops[3])) world.settle();
    for (size_t i = 0; i < 4; i++) {
      world.is_done(&ops[i]);
      EXPECT_EQ(ops[i].error, 0);
      EXPECT_EQ(out[i], 15);
    }
    world.with_done();
  }
}

TEST_F(Sync, ArrivalsAfterStrangersWaitUntilTheyAreAll) {
  const auto here = homed(0, true, base + 450);
  for (int round = 0; round < 3; round++) {
    std::vector<Op> ops(6, make(OpKind::Barrier, here, 1));
    for (auto& op : ops) op.pnum = 6;
    for (int i = 0; i < 2; i++) {
      EXPECT_FALSE(start(1, ops[static_cast<size_t>(i)]));
      world.flush(1);
      world.settle();
    }
    const auto sent = world.node(0).engine->stats().messages_sent;
    for (size_t i = 2; i < 5; i++) EXPECT_FALSE(start(0, ops[i]));
    EXPECT_FALSE(world.any_done());
    EXPECT_EQ(world.node(0).engine->stats().messages_sent, sent);
    world.park(0, &ops[3]);  // it has taken no place: the others wait for it to come again
    EXPECT_TRUE(world.is_done(&ops[3]) && ops[3].parked && ops[3].waiter == 0);
    EXPECT_FALSE(start(0, ops[5]));
    EXPECT_TRUE(world.resume(0, &ops[3]));
    world.settle();
    for (size_t i = 0; i < 6; i++) {
      EXPECT_TRUE(i == 3 || world.is_done(&ops[i]));
      EXPECT_EQ(ops[i].error, 0);
    }
    world.with_done();
  }
}

// Arrivals are sent to a home that has just moved to where they came from: those that have stayed there must hear of them.
TEST_F(Sync, ArrivalsThatComeBackMeetThoseThatHaveStayed) {
  std::vector<Op> sent, stay;
  for (auto addr = base + 700; sent.size() < 8; addr++) {
    addr = homed(1, true, addr);
    sent.push_back(make(OpKind::Barrier, addr, 1));
    sent.back().pnum = 2;
  }
  stay = sent;
  std::vector<Frame> late;
  for (auto& op : sent) EXPECT_FALSE(world.submit(0, &op));
  world.tamper = [&](World&, MemberId from, MemberId to, Frame& frame) {
    if (from == 0 && to == 1) late.push_back(std::move(frame));
    return from != 0 || to != 1;
  };
  world.flush(0);
  world.settle();
  EXPECT_EQ(late.size(), sent.size());
  world.set_state(1, MemberState::Draining);  // its shards go to the two others
  world.publish();
  world.settle();
  for (auto& op : stay) EXPECT_FALSE(world.submit(0, &op));
  world.tamper = nullptr;
  for (auto& frame : late) world.inject(0, 1, std::move(frame));
  world.flush(0);
  world.settle();
  for (size_t i = 0; i < sent.size(); i++) EXPECT_TRUE(world.is_done(&sent[i]) && world.is_done(&stay[i])) << i;
}

TEST_F(Sync, ArrivalsThatDoNotFitThoseAtTheirHomeAreRefused) {
  const auto here = homed(0, true, base + 500);
  Op a = make(OpKind::Barrier, here, 1), b = a, c = a, d = a;
  a.pnum = d.pnum = 2;
  b.pnum = c.pnum = 3;
  EXPECT_FALSE(start(0, a));
  EXPECT_TRUE(start(0, b));  // refused as soon as it comes
  EXPECT_EQ(b.error, EINVAL);
  EXPECT_FALSE(world.submit(1, &c));
  world.flush(1);
  world.settle();
  EXPECT_TRUE(world.is_done(&c));
  EXPECT_EQ(c.error, EINVAL);
  EXPECT_FALSE(world.is_done(&a));
  EXPECT_TRUE(start(0, d));
  EXPECT_TRUE(world.is_done(&a));
  EXPECT_EQ(a.error + d.error, 0);
}

TEST_F(Sync, ArrivalsAtTheirHomeFollowItAndEndWithTheirMapping) {
  const auto here = homed(0, true, base + 600);
  Op a = make(OpKind::Barrier, here, 1), b = a, c = a;
  a.pnum = b.pnum = c.pnum = 2;
  EXPECT_FALSE(start(0, a));
  world.set_state(0, MemberState::Draining);  // its shards go elsewhere, its threads do not
  world.publish();
  world.settle();
  world.submit(1, &b);
  world.flush(1);
  world.settle();
  EXPECT_TRUE(world.is_done(&a) && world.is_done(&b));
  EXPECT_EQ(a.error + b.error, 0);

  Op map = make(OpKind::Mmap, 0, 1);
  map.size = 4096;
  map.value = 1;
  if (!world.submit(1, &map)) world.wait(&map, 1);
  std::vector<Op> lone(16, make(OpKind::Barrier, map.value, 1));
  bool kept = false;
  for (size_t i = 0; i < lone.size(); i++) {
    lone[i].addr += static_cast<GlobalAddr>(i);
    lone[i].pnum = 2;
    EXPECT_FALSE(world.submit(1, &lone[i]));
    kept |= !world.node(1).engine->wants_flush();
    world.flush(1);
    world.settle();
  }
  EXPECT_TRUE(kept);  // member 1 is the home of some of them
  EXPECT_EQ(run(1, OpKind::Munmap, map.value, 1), 0);
  world.settle();
  for (auto& op : lone) {
    EXPECT_TRUE(world.is_done(&op));
    EXPECT_EQ(op.error, EINVAL);
  }
}

TEST_F(Sync, ParkedBarrierArrivalStaysCounted) {
  const auto away = homed(0, false, base + 16);
  for (const bool flushed : {false, true}) {
    Op a = make(OpKind::Barrier, away, 1), b = a;
    a.pnum = b.pnum = 2;
    EXPECT_FALSE(start(0, a));
    if (flushed) {
      world.flush(0);
      world.settle();
    }
    world.park(0, &a);
    world.settle();
    EXPECT_TRUE(world.is_done(&a) && a.parked);
    EXPECT_EQ(a.waiter != 0, flushed);
    EXPECT_FALSE(start(1, b));
    world.flush(1);
    world.settle();
    EXPECT_EQ(world.is_done(&b), flushed);
    Op again = make(OpKind::Barrier, away, 1);
    again.pnum = 2;
    again.waiter = a.waiter;
    const bool now = world.resume(2, &again);
    world.flush(2);
    world.settle();
    EXPECT_TRUE(now || world.is_done(&again));
    if (!flushed) { EXPECT_TRUE(world.is_done(&b)); }
  }
}

TEST_F(Sync, EventsAndMail) {
  Op wait = make(OpKind::EventWait, 0, 1);
  wait.target = 99;
  EXPECT_FALSE(start(0, wait));
  Op set = make(OpKind::EventSet, 0, 2);
  set.target = 99;
  set.value = -7;
  EXPECT_TRUE(start(1, set));
  EXPECT_TRUE(world.is_done(&wait));
  EXPECT_EQ(wait.value, -7);
  set.target = 100;
  set.value = -7;
  EXPECT_TRUE(start(1, set));
  wait.target = 100;
  EXPECT_TRUE(start(2, wait));
  EXPECT_EQ(wait.value, -7);

  int64_t payload = 5, got = 0;
  Op post = make(OpKind::MailPost, 0, 1);
  post.target = 3;
  post.in = reinterpret_cast<std::byte*>(&payload);
  post.in_size = 8;
  EXPECT_TRUE(start(0, post));  // nobody waits: lost, as promised
  EXPECT_EQ(post.value, 0);
  Op mail = make(OpKind::MailWait, 0, 3);
  mail.out = reinterpret_cast<std::byte*>(&got);
  mail.out_size = 8;
  EXPECT_FALSE(start(2, mail));
  payload = 6;
  EXPECT_TRUE(start(0, post));
  EXPECT_TRUE(world.is_done(&mail));
  EXPECT_EQ(got, 6);
}

uint64_t word(double v) { return std::bit_cast<uint64_t>(v); }
double sum(std::vector<double> v) {
  std::vector<uint64_t> w;
  for (double x : v) w.push_back(word(x));
  return std::bit_cast<double>(reduce(ReduceOp::Sum, ReduceType::Double, w));
}

TEST(Reduce, SumOfDoublesIsExactAndWithoutOrder) {
  EXPECT_EQ(sum({1e308, 1e308, -1e308, -1e308, 1.0}), 1.0);
  EXPECT_EQ(sum({1.0, 1e-300, -1.0}), 1e-300);
  EXPECT_EQ(sum({0.1, 0.2, 0.3, -0.6}), 2.7755575615628914e-17);
  EXPECT_EQ(sum({5e-324, 5e-324}), 1e-323);
  EXPECT_EQ(sum({1.0, 0x1p-53}), 1.0);                // a tie goes to even
  EXPECT_EQ(sum({1.0, 0x1p-53, 0x1p-1074}), 1.0 + 0x1p-52);
  EXPECT_EQ(sum({-1.0, -0x1p-53, -0x1p-1074}), -1.0 - 0x1p-52);
  EXPECT_EQ(sum({1e308, 1e308}), INFINITY);
  EXPECT_TRUE(std::isnan(sum({INFINITY, -INFINITY})));
  EXPECT_TRUE(std::signbit(sum({-0.0, -0.0})));
  EXPECT_FALSE(std::signbit(sum({-0.0, 0.0})));
  EXPECT_EQ(sum({0x1.fffffffffffffp1023, -0x1.fffffffffffffp1023, 3}), 3);
  std::vector<double> v;
  for (int i = 0; i < 200; i++) v.push_back(std::ldexp(std::sin(i), (i * 37) % 600 - 300));
  const double forward = sum(v);
  EXPECT_EQ(sum({v.rbegin(), v.rend()}), forward);
  long double check = 0;
  for (double x : v) check += x;
  EXPECT_NEAR(static_cast<double>(check / forward), 1.0, 1e-15);
}

TEST(Reduce, IntegersWrapAndCompareInTheirType) {
  const auto all = [](ReduceOp op, ReduceType type, std::vector<int64_t> v) {
    return reduce(op, type, {v.begin(), v.end()});
  };
  EXPECT_EQ(static_cast<int8_t>(all(ReduceOp::Sum, ReduceType::Char, {100, 100})), static_cast<int8_t>(200));
  EXPECT_EQ(static_cast<int8_t>(all(ReduceOp::Max, ReduceType::Char, {-1, -5})), -1);
  EXPECT_EQ(static_cast<int16_t>(all(ReduceOp::Min, ReduceType::Short, {-1, -5, 9})), -5);
  EXPECT_EQ(static_cast<int32_t>(all(ReduceOp::Prod, ReduceType::Int, {-3, 5})), -15);
  EXPECT_EQ(static_cast<int64_t>(all(ReduceOp::Prod, ReduceType::Long, {-3, 1ll << 40})), -3 * (1ll << 40));
}

}  // namespace
}  // namespace dmi::memory
