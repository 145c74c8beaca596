// Two transports on one machine whose data goes through shared memory: the same promises as over a socket.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <random>

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
  const uint32_t seed = getenv("DMI_SEED") ? static_cast<uint32_t>(atoi(getenv("DMI_SEED"))) : std::random_device{}();
  SCOPED_TRACE("replay with DMI_SEED=" + std::to_string(seed));
  std::mt19937 random(seed);
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

TEST(TransportShared, ManyThreadsManyMembersKeepOrderPerPair) {
  for (int round = 0; round < 10; round++) all_to_all(6, 60, true);  // what goes wrong here goes wrong while they connect
}

}  // namespace
}  // namespace dmi::memory::transport
