// The memory engine's core on a quiet network: what each operation promises, on 1 to 4 members.
#include <gtest/gtest.h>

#include <cstring>

#include "memory/sim/world.h"

namespace dmi::memory {
namespace {

using sim::World;

struct Cluster {
  explicit Cluster(int members, uint64_t seed = 1, int64_t pool = 1 << 30) : world(seed) {
    world.check_level = 2;
    for (int i = 0; i < members; i++) world.add(MemberState::Active, pool);
    world.publish();
    world.settle();
  }
  ~Cluster() {
    world.settle();
    for (auto& p : world.problems) ADD_FAILURE() << p;
  }
  Op& run(MemberId at, Op& op) {
    if (!world.submit(at, &op)) world.wait(&op, at);
    return op;
  }
  GlobalAddr map(MemberId at, int64_t page_size, int64_t pages) {
    Op op;
    op.kind = OpKind::Mmap;
    op.size = page_size;
    op.value = pages;
    run(at, op);
    EXPECT_EQ(op.error, 0) << op.message;
    return op.value;
  }
  int unmap(MemberId at, GlobalAddr addr) {
    Op op;
    op.kind = OpKind::Munmap;
    op.addr = addr;
    return run(at, op).error;
  }
  int read(MemberId at, GlobalAddr addr, void* to, int64_t size, Mode mode = Mode::Get) {
    Piece piece{addr, size, static_cast<std::byte*>(to)};
    Op op;
    op.kind = OpKind::Read;
    op.mode = mode;
    op.pieces = {&piece, 1};
    return run(at, op).error;
  }
  int write(MemberId at, GlobalAddr addr, const void* from, int64_t size, Mode mode = Mode::Put) {
    Piece piece{addr, size, static_cast<std::byte*>(const_cast<void*>(from))};
    Op op;
    op.kind = OpKind::Write;
    op.mode = mode;
    op.pieces = {&piece, 1};
    return run(at, op).error;
  }
  int64_t get(MemberId at, GlobalAddr addr, Mode mode = Mode::Get) {
    int64_t v = -1;
    EXPECT_EQ(read(at, addr, &v, 8, mode), 0);
    return v;
  }
  void put(MemberId at, GlobalAddr addr, int64_t v, Mode mode = Mode::Put) { EXPECT_EQ(write(at, addr, &v, 8, mode), 0); }
  int64_t fad(MemberId at, GlobalAddr addr, int64_t add, Mode mode = Mode::Put) {
    Op op;
    op.kind = OpKind::Fad;
    op.mode = mode;
    op.addr = addr;
    op.value = add;
    EXPECT_EQ(run(at, op).error, 0) << op.message;
    return op.value;
  }
  World world;
};

TEST(Memory, FreshMappingReadsAsZeroEverywhere) {
  for (int n : {1, 2, 4}) {
    Cluster c(n);
    const auto a = c.map(0, 64, 100);
    std::vector<char> bytes(6400, 'x');
    for (int m = 0; m < n; m++) {
      ASSERT_EQ(c.read(m, a, bytes.data(), 6400), 0);
      EXPECT_EQ(std::count(bytes.begin(), bytes.end(), 0), 6400);
    }
  }
}

TEST(Memory, WriteIsSeenByEveryMemberInEveryMode) {
  for (int n : {1, 2, 4}) {
    Cluster c(n);
    const auto a = c.map(0, 128, 16);
    int64_t v = 1;
    for (auto write : {Mode::Put, Mode::Exclusive})
      for (int w = 0; w < n; w++)
        for (int page = 0; page < 16; page += 5) {
          for (int r = 0; r < n; r++) c.get(r, a + page * 128, r % 2 ? Mode::Update : Mode::Invalidate);
          c.put(w, a + page * 128, ++v, write);
          for (auto mode : {Mode::Get, Mode::Invalidate, Mode::Update})
            for (int r = 0; r < n; r++) EXPECT_EQ(c.get(r, a + page * 128, mode), v);
        }
  }
}

TEST(Memory, UnalignedAccessSpansPagesOfAnySize) {
  for (int64_t page : {1, 3, 8, 24, 1000, 4096}) {
    Cluster c(3);
    c.world.check_level = page < 24 ? 1 : 2;
    const auto a = c.map(1, page, 9000 / page + 1);
    std::vector<unsigned char> out(9000), in(9000);
    for (size_t i = 0; i < out.size(); i++) out[i] = static_cast<unsigned char>(i * 7);
    ASSERT_EQ(c.write(2, a, out.data(), 9000), 0);
    ASSERT_EQ(c.read(0, a + 11, in.data() + 11, 8001, Mode::Invalidate), 0);
    EXPECT_EQ(std::memcmp(in.data() + 11, out.data() + 11, 8001), 0);
    ASSERT_EQ(c.read(0, a + 13, in.data() + 13, 8001, Mode::Update), 0);
    EXPECT_EQ(std::memcmp(in.data() + 13, out.data() + 13, 8001), 0);
  }
}

TEST(Memory, AtomicsHoldOnEveryMember) {
  Cluster c(3);
  const auto a = c.map(0, 64, 4);
  int64_t sum = 0;
  for (int i = 0; i < 30; i++) {
    EXPECT_EQ(c.fad(i % 3, a + 64, i, i % 2 ? Mode::Put : Mode::Exclusive), sum);
    sum += i;
  }
  int64_t expect = sum, next = 7;
  Op cas;
  cas.kind = OpKind::Cas;
  cas.mode = Mode::Put;
  cas.addr = a + 64;
  cas.size = 8;
  cas.in = reinterpret_cast<std::byte*>(&expect);
  cas.in2 = reinterpret_cast<std::byte*>(&next);
  c.run(1, cas);
  EXPECT_EQ(cas.value, 1);
  c.run(2, cas);
  EXPECT_EQ(cas.value, 0);
  int64_t old = 0, store = 9;
  Op fas;
  fas.kind = OpKind::Fas;
  fas.mode = Mode::Exclusive;
  fas.addr = a + 64;
  fas.size = 8;
  fas.in = reinterpret_cast<std::byte*>(&store);
  fas.out = reinterpret_cast<std::byte*>(&old);
  c.run(0, fas);
  EXPECT_EQ(old, 7);
  EXPECT_EQ(c.get(1, a + 64), 9);
}

// The first goes at once, the rest waits until there are 32 or somebody asks for it; the owner answers each message with one.
TEST(Memory, SmallOperationsInFlightShareMessages) {
  Cluster c(2);
  const auto a = c.map(0, 4096, 1);
  c.put(0, a, 5, Mode::Exclusive);
  EXPECT_EQ(c.get(1, a), 5);  // now it knows the owner
  const auto sent = [&](MemberId m) { return c.world.node(m).engine->stats().messages_sent; };
  const auto before = sent(1), answered = sent(0);
  std::vector<int64_t> values(50);
  std::vector<Piece> pieces(50);
  std::vector<Op> ops(50);
  for (int i = 0; i < 50; i++) {
    values[static_cast<size_t>(i)] = 100 + i;
    pieces[static_cast<size_t>(i)] = {a + 64 + 8 * i, 8, reinterpret_cast<std::byte*>(&values[static_cast<size_t>(i)])};
    auto& op = ops[static_cast<size_t>(i)];
    if (i == 20) {
      op.kind = OpKind::Fad;
      op.addr = a;
      op.value = 2;
    } else {
      op.kind = OpKind::Write;
      op.pieces = {&pieces[static_cast<size_t>(i)], 1};
    }
    op.mode = Mode::Put;
    EXPECT_FALSE(c.world.submit(1, &op));
  }
  EXPECT_EQ(sent(1) - before, 2u);
  c.world.settle();
  EXPECT_EQ(sent(1) - before, 3u);
  EXPECT_EQ(sent(0) - answered, 3u);
  for (auto& op : ops) {
    EXPECT_TRUE(c.world.is_done(&op));
    EXPECT_EQ(op.error, 0) << op.message;
  }
  EXPECT_EQ(ops[20].value, 5);
  EXPECT_EQ(c.get(0, a), 7);
  for (int i = 0; i < 50; i++) EXPECT_EQ(c.get(0, a + 64 + 8 * i), i == 20 ? 0 : 100 + i);
}

TEST(Memory, ManyPiecesAreReadAndWrittenWhileOthersWork) {
  Cluster c(3);
  const auto a = c.map(0, 4096, 8);
  constexpr int kMany = 7000;
  std::vector<int32_t> out(kMany), in(kMany);
  std::vector<Piece> from, to;
  for (int i = 0; i < kMany; i++) {
    out[static_cast<size_t>(i)] = i;
    const auto at = a + (i * 4 + i / 100 * 3) % 32000;
    from.push_back({at, 4, reinterpret_cast<std::byte*>(&out[static_cast<size_t>(i)])});
    to.push_back({at, 4, reinterpret_cast<std::byte*>(&in[static_cast<size_t>(i)])});
  }
  for (const auto& [kind, mode, pieces] : {std::tuple{OpKind::Write, Mode::Put, std::span<const Piece>(from)}, {OpKind::Read, Mode::Get, std::span<const Piece>(to)},
                                           {OpKind::Write, Mode::Exclusive, std::span<const Piece>(from)}, {OpKind::Read, Mode::Update, std::span<const Piece>(to)}}) {
    std::fill(in.begin(), in.end(), -1);
    Op op;
    op.kind = kind;
    op.mode = mode;
    op.pieces = pieces;
    const bool done = c.world.submit(2, &op);
    for (int i = 0; i < 20; i++) c.put(i % 3, a + 32400, i);
    if (!done && !c.world.is_done(&op)) c.world.wait(&op, 2);
    EXPECT_EQ(op.error, 0) << op.message;
    if (kind == OpKind::Read) {
      EXPECT_EQ(in, out);
    }
  }
}

TEST(Memory, HotPathsHitOnlyWhatIsHereAndValid) {
  Cluster c(2);
  const auto a = c.map(0, 64, 2);
  int64_t v = 5, r = 0;
  EXPECT_EQ(c.world.node(0).engine->try_read(a, 8, &r, Mode::Get), 0);  // nobody has touched it
  c.put(0, a, 5, Mode::Exclusive);
  auto& owner = *c.world.node(0).engine;
  auto& other = *c.world.node(1).engine;
  EXPECT_EQ(owner.try_read(a, 8, &r, Mode::Get), 1);
  EXPECT_EQ(r, 5);
  v = 6;
  EXPECT_EQ(owner.try_write(a, 8, &v, Mode::Put), 1);
  EXPECT_EQ(owner.try_fad(a, 4, &r), 1);
  EXPECT_EQ(r, 6);
  EXPECT_EQ(other.try_read(a, 8, &r, Mode::Get), 0);
  EXPECT_EQ(c.get(1, a, Mode::Invalidate), 10);
  EXPECT_EQ(other.try_read(a, 8, &r, Mode::Get), 1);
  EXPECT_EQ(r, 10);
  EXPECT_EQ(owner.try_write(a, 8, &v, Mode::Put), 0);  // a sharer must hear of it
  EXPECT_EQ(owner.try_fad(a, 4, &r), 0);
  c.put(0, a, 11);
  EXPECT_EQ(other.try_read(a, 8, &r, Mode::Get), 0);   // invalidated
  EXPECT_EQ(c.get(1, a, Mode::Update), 11);
  c.put(0, a, 12);
  EXPECT_EQ(other.try_read(a, 8, &r, Mode::Get), 1);   // pushed
  EXPECT_EQ(r, 12);
  EXPECT_EQ(owner.try_read(a + 128, 8, &r, Mode::Get), 0);
  EXPECT_EQ(owner.try_read(a + 124, 8, &r, Mode::Get), 0);
}

TEST(Memory, BadRequestsAreRefusedWithAReason) {
  const auto bad_address = [](int error) { return error == EINVAL || error == EFAULT; };
  Cluster c(2);
  const auto a = c.map(0, 64, 2);
  char buf[256];
  EXPECT_TRUE(bad_address(c.read(0, a + 128, buf, 1)));
  EXPECT_TRUE(bad_address(c.read(0, a + 120, buf, 9)));
  EXPECT_TRUE(bad_address(c.read(0, 0, buf, 9)));
  EXPECT_TRUE(bad_address(c.read(0, -5, buf, 9)));
  EXPECT_EQ(c.read(0, a, buf, -1), EINVAL);
  EXPECT_TRUE(bad_address(c.read(0, a, buf, INT64_MAX)));
  EXPECT_TRUE(bad_address(c.read(1, (77ll << 40) + 3, buf, 9)));
  EXPECT_EQ(c.read(0, a, buf, 0), 0);
  EXPECT_EQ(c.read(0, a, buf, 8, Mode::Put), EINVAL);
  EXPECT_EQ(c.write(0, a, buf, 8, Mode::Get), EINVAL);
  Op fad;
  fad.kind = OpKind::Fad;
  fad.mode = Mode::Put;
  fad.addr = a + 60;
  EXPECT_EQ(c.run(0, fad).error, EINVAL);
  EXPECT_FALSE(fad.message.empty());
  EXPECT_EQ(c.unmap(1, a + 64), EINVAL);
  EXPECT_EQ(c.unmap(1, a), 0);
  EXPECT_EQ(c.unmap(1, a), EINVAL);
  EXPECT_TRUE(bad_address(c.read(0, a, buf, 8)));
  EXPECT_TRUE(bad_address(c.read(1, a, buf, 8)));
}

TEST(Memory, MappingBeyondThePoolIsRefusedAndMemoryComesBack) {
  Cluster c(2, 1, 1 << 20);
  Op op;
  op.kind = OpKind::Mmap;
  op.size = 1 << 20;
  op.value = 3;
  EXPECT_EQ(c.run(0, op).error, ENOMEM);
  EXPECT_NE(op.message.find("3145728"), std::string::npos) << op.message;
  const auto a = c.map(0, 1 << 20, 2);
  op.value = 1;
  EXPECT_EQ(c.run(0, op).error, ENOMEM);
  EXPECT_EQ(c.unmap(0, a), 0);
  c.map(1, 1 << 20, 2);
}

TEST(Memory, FirstOwnersAreDealtRoundRobin) {
  Cluster c(4);
  const auto a = c.map(0, 64, 40);
  std::vector<char> buf(64 * 40);
  c.read(2, a, buf.data(), 64 * 40);
  for (int m = 0; m < 4; m++) EXPECT_EQ(c.world.node(m).engine->stats().pages_owned, 10) << m;
}

// Nobody has room for what a leaving member leaves behind; then somebody has.
TEST(Memory, WhoIsBeyondThePoolIsToldWhenThereIsRoom) {
  constexpr int64_t kPool = 64 << 10, kPage = 1024;
  for (const bool unmap : {true, false}) {
    SCOPED_TRACE(unmap);
    Cluster c(3, 1, kPool);
    std::vector<GlobalAddr> maps;
    for (MemberId at = 0; at < 3; at++) {
      maps.push_back(c.map(at, kPage, kPool / kPage));
      for (int64_t i = 0; i < kPool / kPage; i++) EXPECT_EQ(c.write(at, maps.back() + i * kPage, &i, 8, Mode::Exclusive), 0);
    }
    c.world.set_state(2, MemberState::Draining);
    c.world.publish();
    c.world.drain(2);
    c.world.settle();
    const auto owned = [&](MemberId at) { return c.world.node(at).engine->stats().bytes_owned; };
    EXPECT_EQ(owned(2), 0);
    ASSERT_GT(owned(0), kPool);
    if (unmap) {  // all that member 1 has not been given by member 2
      EXPECT_EQ(c.unmap(1, maps[1]), 0);
    } else {
      c.world.add(MemberState::Active, kPool);
      c.world.publish();
    }
    c.world.settle();
    EXPECT_LE(owned(0), kPool);
    EXPECT_LE(owned(1), kPool);
  }
}

// What is pinned stays where the pool is too small for all: copies are not dropped, owned pages do not go to others.
TEST(Memory, APinnedPageStaysUntilItIsUnpinned) {
  constexpr int64_t kPool = 64 << 10, kPage = 1024, kPages = 96;
  for (const bool owned : {false, true}) {
    SCOPED_TRACE(owned);
    Cluster c(2, 1, kPool);
    const auto a = c.map(0, kPage, kPages);
    for (int64_t i = 0; i < kPages; i++) c.put(static_cast<MemberId>(i % 2), a + i * kPage, i);
    const auto here = [&](int64_t page) {  // it can be read without a message
      int64_t x = -1;
      Piece piece{a + page * kPage, 8, reinterpret_cast<std::byte*>(&x)};
      Op op;
      op.kind = OpKind::Read;
      op.mode = Mode::Get;
      op.pieces = {&piece, 1};
      const bool at_once = c.world.submit(0, &op);
      if (!at_once) c.world.wait(&op, 0);
      EXPECT_EQ(x, page);
      return at_once;
    };
    const auto pin = [&](OpKind kind) {
      Op op;
      op.kind = kind;
      op.addr = a + 5 * kPage;
      op.size = 8;
      EXPECT_EQ(c.run(0, op).error, 0) << op.message;
    };
    // Member 0 goes through all pages again and again, in turn as copies or as their owner.
    const auto churn = [&] {
      for (int round = 0; round < 4; round++)
        for (int64_t i = 0; i < kPages; i++) {
          if (i == 5 && round > 0) continue;  // nothing but the pin may keep it
          if (owned) c.put(0, a + i * kPage, i, Mode::Exclusive);
          else c.get(0, a + i * kPage, Mode::Invalidate);
        }
      c.world.settle();
    };
    pin(OpKind::Save);
    churn();
    EXPECT_TRUE(here(5));
    int64_t gone = 0;
    for (int64_t i = 0; i < kPages; i++) gone += !here(i);
    EXPECT_GE(gone, kPages - kPool / kPage);
    pin(OpKind::Unsave);
    churn();
    EXPECT_FALSE(here(5));
  }
}

TEST(Memory, DrainLosesNothing) {
  Cluster c(4);
  const auto a = c.map(0, 64, 200);
  for (int i = 0; i < 200; i++) c.put(i % 4, a + 64 * i, i, i % 3 ? Mode::Put : Mode::Exclusive);
  for (int leaver : {3, 0, 1}) {
    c.world.set_state(leaver, MemberState::Draining);
    c.world.publish();
    c.world.drain(leaver);
    c.world.settle();
    EXPECT_TRUE(c.world.node(leaver).drained);
    c.world.remove(leaver);
    c.world.publish();
    c.world.settle();
    c.world.kill(leaver);
    for (int i = 0; i < 200; i++) EXPECT_EQ(c.get(2, a + 64 * i), i);
  }
  c.world.add();
  c.world.publish();
  c.world.settle();
  for (int i = 0; i < 200; i++) EXPECT_EQ(c.get(4, a + 64 * i, Mode::Invalidate), i);
}

}  // namespace
}  // namespace dmi::memory
