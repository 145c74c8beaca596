// Two transports on one machine whose data goes through shared memory: the same promises as over a socket.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "memory/core/pages.h"
#include "transport_peers.h"

namespace dmi::memory::transport {
namespace {

std::string content(int i, size_t size) { return std::string(size, static_cast<char>('a' + i % 26)); }

uint64_t rings_mapped() {
  FILE* maps = fopen("/proc/self/maps", "r");
  char line[512];
  uint64_t n = 0;
  while (fgets(line, sizeof line, maps)) n += strstr(line, "dmi-rings") != nullptr;
  fclose(maps);
  return n;
}

TEST(TransportShared, FramesOfEverySizeArriveInOrderBothWays) {
  SCOPED_TRACE(replay());
  std::mt19937 random(seed());
  Node a(1, 30, "secret", "job", true), b(2, 30, "secret", "job", true);
  a.meet(b);
  b.meet(a);
  constexpr int kFrames = 400;
  std::vector<size_t> sizes[2];
  for (int i = 0; i < kFrames; i++)
    for (int side = 0; side < 2; side++) {
      // Some larger than a ring.
      const size_t size = random() % 4 ? random() % 200 : random() % (3 * SharedRings::kRing);
      sizes[side].push_back(size);
      (side ? b : a).send(side ? 1 : 2, make_frame(std::to_string(i), content(i, size)));
    }
  ASSERT_TRUE(eventually([&] { return a.count() == kFrames && b.count() == kFrames; })) << a.count() << " " << b.count();
  EXPECT_EQ(rings_mapped(), 2u);  // the same memory, twice
  for (int side = 0; side < 2; side++) {
    const auto got = (side ? a : b).take();
    for (int i = 0; i < kFrames; i++) {
      ASSERT_EQ(got[static_cast<size_t>(i)].head, std::to_string(i));
      ASSERT_TRUE(got[static_cast<size_t>(i)].body == content(i, sizes[side][static_cast<size_t>(i)])) << i;
    }
  }
}

TEST(TransportShared, ASleepingPeerIsWokenForEveryFrame) {
  Node a(1, 30, "secret", "job", true), b(2, 30, "secret", "job", true);
  a.meet(b);
  for (size_t i = 1; i <= 20; i++) {
    a.send(2, make_frame("x"));
    ASSERT_TRUE(eventually([&] { return b.count() == i; })) << i;
    std::this_thread::sleep_for(std::chrono::milliseconds(i));  // longer than anybody spins
  }
}

TEST(TransportShared, OneThatDoesNotWantMemoryGetsASocket) {
  Node a(1, 30, "secret", "job", true), b(2);
  a.meet(b);
  b.meet(a);
  a.send(2, make_frame("x"));
  b.send(1, make_frame("y"));
  ASSERT_TRUE(eventually([&] { return b.count() == 1 && a.count() == 1; }));
  EXPECT_EQ(rings_mapped(), 0u);
}

TEST(TransportShared, APeerThatEndsIsNoticedAndItsMemoryGivenBack) {
  Node a(1, 0.5, "secret", "job", true);
  auto b = std::make_unique<Node>(2, 30, "secret", "job", true);
  a.meet(*b);
  a.send(2, make_frame("x"));
  ASSERT_TRUE(eventually([&] { return b->count() == 1; }));
  b.reset();
  // More than a ring holds: whoever sends it must not wait for room that never comes.
  for (int i = 0; i < 8; i++) a.send(2, make_frame("late", content(i, SharedRings::kRing / 2)));
  EXPECT_TRUE(eventually([&] { return !a.unreachable(2).empty(); }, 10));
  EXPECT_TRUE(eventually([] { return rings_mapped() == 0; }));
}

TEST(TransportShared, AnOfferOfSomethingElseIsNotTaken) {
  auto rings = SharedRings::create();
  ASSERT_TRUE(rings);
  const auto good = rings->offer();
  EXPECT_TRUE(SharedRings::open(good));
  auto bad = good;
  bad.boot = "another machine\n";
  EXPECT_FALSE(SharedRings::open(bad));
  bad = good;
  bad.fd = 0;
  EXPECT_FALSE(SharedRings::open(bad));
  bad = good;
  bad.pid = 0;
  EXPECT_FALSE(SharedRings::open(bad));
  bad = good;
  bad.token[5] ^= std::byte{1};
  EXPECT_FALSE(SharedRings::open(bad));
  // As large, but it could be cut under our feet.
  Fd loose(memfd_create("loose", MFD_CLOEXEC));
  struct {
    char path[64];
  } name;
  snprintf(name.path, sizeof name.path, "/proc/self/fd/%d", good.fd);
  Fd whole(open(name.path, O_RDWR | O_CLOEXEC));
  ASSERT_EQ(ftruncate(loose.get(), lseek(whole.get(), 0, SEEK_END)), 0);
  bad = good;
  bad.fd = loose.get();
  EXPECT_FALSE(SharedRings::open(bad));
}

TEST(TransportShared, CountersThatMakeNoSenseAreNotBelieved) {
  auto rings = SharedRings::create();
  ASSERT_TRUE(rings);
  const auto offer = rings->offer();
  auto peer = SharedRings::open(offer);
  ASSERT_TRUE(peer);
  // The peer's head, at the start of its side, says that there is more than the ring holds.
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", offer.fd);
  Fd fd(open(path, O_RDWR | O_CLOEXEC));
  auto* raw = static_cast<std::byte*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0));
  ASSERT_NE(raw, MAP_FAILED);
  char byte = 'x';
  iovec piece{&byte, 1};
  ASSERT_EQ(peer->write(&piece, 1), 1u);
  ASSERT_TRUE(rings->readable());
  const uint64_t absurd = SharedRings::kRing + 1;
  bool found = false;
  for (size_t at = SharedRings::kToken; at < 1024; at += 8) {
    uint64_t value;
    memcpy(&value, raw + at, 8);
    if (value != 1) continue;
    memcpy(raw + at, &absurd, 8);
    found = true;
  }
  ASSERT_TRUE(found);
  EXPECT_EQ(rings->read(&piece, 1), -1);
  munmap(raw, 4096);
}

// ---- bodies in frame memory --------------------------------------------------------------------------------------------
// A frame whose body is a page's, as the engine sends it.
Frame page_frame(std::string_view head, const std::string& content) {
  FrameMemory::begin();
  auto* page = PageFrame::make_raw(static_cast<int64_t>(content.size()));
  memcpy(page->bytes(), content.data(), content.size());
  Frame frame;
  frame.head = bytes_of(head);
  frame.body.push_back({page->bytes(), content.size(), page->keep()});
  page->unref();
  return frame;
}

struct Kept : FrameHandler {
  std::vector<Received> received;
  void begin() override {}
  std::byte* sink(MemberId, std::span<const std::byte>, size_t) override { return nullptr; }
  void frame(MemberId from, std::span<const std::byte> head, std::span<const std::byte> body) override {
    received.push_back({from, text_of(head), text_of(body)});
  }
  void end() override {}
  void app(MemberId, std::span<const std::byte>) override {}
};

TEST(TransportShared, PagesAreCopiedFromWhereTheyStandAmongFramesOfEverySize) {
  SCOPED_TRACE(replay());
  std::mt19937 random(seed());
  Node a(1, 30, "secret", "job", true), b(2, 30, "secret", "job", true);
  a.meet(b);
  constexpr size_t kFrames = 200;
  std::vector<size_t> sizes;
  for (size_t i = 0; i < kFrames; i++) {
    const size_t size = random() % 2 ? random() % 300 : SharedRings::kPlacedFrom / 2 + random() % (4 * SharedRings::kPlacedFrom);
    sizes.push_back(size);
    const auto head = std::to_string(i), body = content(static_cast<int>(i), size);
    a.send(2, size >= FrameMemory::kLeast ? page_frame(head, body) : make_frame(head, body));
  }
  ASSERT_TRUE(eventually([&] { return b.count() == kFrames; })) << b.count();
  const auto got = b.take();
  for (size_t i = 0; i < kFrames; i++) {
    ASSERT_EQ(got[i].head, std::to_string(i));
    ASSERT_TRUE(got[i].body == content(static_cast<int>(i), sizes[i])) << i;
  }
}

// Both ends of two rings in one process.
struct Ends {
  std::shared_ptr<SharedRings> sends = SharedRings::create(), receives = SharedRings::open(sends->offer());
  Kept handler;
  Receiver receiver{1};
  std::atomic<uint64_t> none{0};
  Sender sender{none};
  Fd bell, far;
  Ends() {
    int pair[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    bell = Fd(pair[0]), far = Fd(pair[1]);
  }
  bool attach() { return sender.attach(bell.get(), -1, nullptr, 0, sends.get()); }
  Receiver::Result pump() { return receiver.pump(far.get(), handler, receives.get()); }
};

TEST(TransportShared, APageTakesNoRoomInTheRingAndIsKeptUntilItIsAcknowledged) {
  FrameMemory::begin();
  Ends ends;
  ends.sends->opened();
  ASSERT_TRUE(ends.attach());
  const std::string body = content(3, SharedRings::kRing * 8);
  Frame frame = page_frame("page", body);
  const std::weak_ptr<const void> kept = frame.body[0].keep;
  ends.sender.push(LinkKind::Engine, std::move(frame));
  ends.sender.flush();
  EXPECT_FALSE(ends.sender.unsent());  // eight times what the ring holds
  EXPECT_FALSE(kept.expired());
  EXPECT_EQ(ends.pump(), Receiver::Result::Drained);
  ASSERT_EQ(ends.handler.received.size(), 1u);
  EXPECT_TRUE(ends.handler.received[0].body == body);
  EXPECT_FALSE(kept.expired());
  EXPECT_EQ(ends.sender.bytes(), ends.receiver.bytes());
  EXPECT_GT(ends.sender.bytes(), body.size());
  ASSERT_TRUE(ends.sender.acknowledge(1));
  EXPECT_TRUE(kept.expired());
}

TEST(TransportShared, ToWhomCannotReachThemPagesGoThroughTheRing) {
  FrameMemory::begin();
  Ends ends;  // whoever receives has not said that it can
  ends.receives->opened();
  auto other = SharedRings::create();  // whose peer never opens it
  ASSERT_TRUE(ends.sender.attach(ends.bell.get(), -1, nullptr, 0, other.get()));
  ends.sender.push(LinkKind::Engine, page_frame("page", content(1, SharedRings::kRing * 2)));
  ends.sender.flush();
  EXPECT_TRUE(ends.sender.unsent());
  ends.sender.clear();
}

TEST(TransportShared, APlaceOutsideTheFramesEndsTheConnection) {
  FrameMemory::begin();
  const auto frames = FrameMemory::get()->offer();
  for (const uint64_t place : {frames.size, frames.size - SharedRings::kPlacedFrom + 1, UINT64_MAX, UINT64_MAX - 4096}) {
    Ends ends;
    std::byte bytes[kLinkSize + 1 + kPlace];
    encode_link({LinkKind::Placed, 1, static_cast<uint32_t>(SharedRings::kPlacedFrom), 1, 0}, bytes);
    bytes[kLinkSize] = std::byte{'h'};
    memcpy(bytes + kLinkSize + 1, &place, kPlace);
    iovec piece{bytes, sizeof bytes};
    ASSERT_EQ(ends.sends->write(&piece, 1), sizeof bytes);
    EXPECT_EQ(ends.pump(), Receiver::Result::Broken) << place;
    EXPECT_NE(ends.receiver.error().find("where no memory is shared"), std::string::npos);
    EXPECT_TRUE(ends.handler.received.empty());
  }
}

TEST(TransportShared, APlacedBodyOverASocketEndsTheConnection) {
  Ends ends;
  std::byte bytes[kLinkSize + 1 + kPlace]{};
  encode_link({LinkKind::Placed, 1, static_cast<uint32_t>(SharedRings::kPlacedFrom), 1, 0}, bytes);
  ASSERT_EQ(send(ends.bell.get(), bytes, sizeof bytes, 0), static_cast<ssize_t>(sizeof bytes));
  EXPECT_EQ(ends.receiver.pump(ends.far.get(), ends.handler), Receiver::Result::Broken);
}

TEST(TransportShared, FrameMemoryIsGivenOutAgainAsZerosAndOnlyToWhomItWasOffered) {
  FrameMemory::begin();
  auto* memory = FrameMemory::get();
  ASSERT_TRUE(memory);
  constexpr size_t kSize = (1 << 20) + 16;
  auto* first = static_cast<std::byte*>(memory->take(kSize));
  ASSERT_TRUE(first);
  memset(first, 7, kSize);
  const auto* seen = FrameMemory::map(memory->offer());
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen[*memory->where(first, kSize) + kSize - 1], std::byte{7});
  EXPECT_TRUE(memory->give_back(first, kSize));
  auto* again = static_cast<std::byte*>(memory->take(kSize));
  EXPECT_EQ(again, first);
  for (size_t i = 0; i < kSize; i += 64) ASSERT_EQ(again[i], std::byte{0}) << i;
  memory->give_back(again, kSize);
  munmap(const_cast<std::byte*>(seen), memory->offer().size);
  int elsewhere;
  EXPECT_FALSE(memory->give_back(&elsewhere, sizeof elsewhere));
  EXPECT_FALSE(memory->take(SIZE_MAX / 2));
  auto bad = memory->offer();
  bad.token[1] ^= std::byte{1};
  EXPECT_FALSE(FrameMemory::map(bad));
  bad = memory->offer();
  bad.size *= 2;
  EXPECT_FALSE(FrameMemory::map(bad));
  bad = memory->offer();
  bad.fd = 0;
  EXPECT_FALSE(FrameMemory::map(bad));
}

TEST(TransportShared, ManyThreadsManyMembersKeepOrderPerPair) {
  for (int round = 0; round < 10; round++) all_to_all(6, 60, true);  // what goes wrong here goes wrong while they connect
}

}  // namespace
}  // namespace dmi::memory::transport
