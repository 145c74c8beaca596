// Connections that break at any byte: frames are neither lost nor doubled nor out of order.
#include <sys/epoll.h>

#include "transport_peers.h"
#include "transport_proxy.h"

namespace dmi::memory::transport {
namespace {

void exchange(size_t most, int frames, size_t largest) {
  SCOPED_TRACE(replay());
  std::mt19937 random(seed());
  Node a(1), b(2);
  CuttingProxy to_b(b.transport().port(), most, seed() + 1), to_a(a.transport().port(), most, seed() + 2);
  a.transport().know(2, "127.0.0.1", to_b.port());
  b.transport().know(1, "127.0.0.1", to_a.port());
  std::vector<std::string> sent[2];
  for (int i = 0; i < frames; i++) {
    for (int side = 0; side < 2; side++) {
      const size_t size = random() % 4 ? random() % 100 : random() % largest;
      std::string body(size, static_cast<char>('a' + i % 26));
      (side ? b : a).send(side ? 1 : 2, make_frame(std::to_string(i), body));
      sent[side].push_back(std::move(body));
    }
    if (i % 16 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const auto all = static_cast<size_t>(frames);
  // Cuts that come before a single frame got through would go on for ever.
  eventually([&] { return a.count() == all && b.count() == all; }, 8);
  to_a.stop_cutting();
  to_b.stop_cutting();
  ASSERT_TRUE(eventually([&] { return a.count() == all && b.count() == all; }))
      << a.count() << " and " << b.count() << " of " << all;
  EXPECT_GT(to_a.cuts() + to_b.cuts(), 2);
  for (int side = 0; side < 2; side++) {
    const auto got = (side ? a : b).take();
    for (size_t i = 0; i < all; i++) {
      ASSERT_EQ(got[i].head, std::to_string(i));
      ASSERT_TRUE(got[i].body == sent[side][i]) << i;
    }
  }
}

TEST(TransportCuts, LoseAndDoubleNothingSmall) { exchange(4000, 600, 2000); }
TEST(TransportCuts, LoseAndDoubleNothingLarge) { exchange(3 << 20, 60, 1 << 20); }

TEST(TransportCuts, ABodyBeingReceivedToItsPlaceComesAgainWhole) {
  Node a(1), b(2);
  b.place.resize(4 << 20);
  CuttingProxy proxy(b.transport().port(), 3 << 20, 11);
  a.transport().know(2, "127.0.0.1", proxy.port());
  const std::string body(4 << 20, 'z');
  a.send(2, make_frame("large", body));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  proxy.stop_cutting();
  ASSERT_TRUE(eventually([&] { return b.count() == 1; }));
  EXPECT_TRUE(b.take()[0].body == body);
  EXPECT_GE(b.sinks, 1);
}

TEST(TransportCuts, APeerThatDiesAndDoesNotComeBackIsUnreachableAndSaidToBeSoAgain) {
  Node a(1, 0.5);
  auto b = std::make_unique<Node>(2);
  a.meet(*b);
  a.send(2, make_frame("x"));
  ASSERT_TRUE(eventually([&] { return b->count() == 1; }));
  b.reset();
  EXPECT_TRUE(eventually([&] { return !a.unreachable(2).empty(); }));
  EXPECT_TRUE(eventually([&] { return a.reports(2) >= 3; }));
}

TEST(TransportCuts, AConnectionThatKnewLessDoesNotMakeTheNextOnesWordsImpossible) {
  std::atomic<uint64_t> received{0};
  Sender sender(received);
  constexpr uint64_t kFrames = 64;
  for (uint64_t i = 0; i < kFrames; i++) sender.push(LinkKind::Engine, make_frame("x", std::string(256 << 10, 'z')));
  const auto connect = [&](uint64_t peer_received, bool reads) {
    int pair[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    Fd near(pair[0]), far(pair[1]), epoll(epoll_create1(EPOLL_CLOEXEC));
    epoll_event event{};
    EXPECT_EQ(epoll_ctl(epoll.get(), EPOLL_CTL_ADD, near.get(), &event), 0);
    const bool possible = sender.attach(near.get(), epoll.get(), nullptr, peer_received);
    std::vector<char> some(1 << 20);
    do {
      sender.unblock();
      sender.flush();
    } while (reads && recv(far.get(), some.data(), some.size(), 0) > 0);
    sender.detach();
    return possible;
  };
  EXPECT_TRUE(connect(0, true));    // all of it is received,
  EXPECT_TRUE(connect(0, false));   // which an attempt under way since before does not know; and it ends early
  EXPECT_TRUE(connect(kFrames, true));
  EXPECT_TRUE(sender.empty());
}

TEST(TransportCuts, AFrameThatGoesSlowlyIsProgressBeforeAnythingIsAcknowledged) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
  Fd near(pair[0]), far(pair[1]), epoll(epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  ASSERT_EQ(epoll_ctl(epoll.get(), EPOLL_CTL_ADD, near.get(), &event), 0);
  std::atomic<uint64_t> received{0};
  Sender sender(received);
  sender.push(LinkKind::Engine, make_frame("large", std::string(8 << 20, 'z')));
  ASSERT_TRUE(sender.attach(near.get(), epoll.get(), nullptr, 0));
  sender.flush();
  const auto before = sender.waiting_since();
  ASSERT_NE(before, 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // more than the coarse clock's tick
  EXPECT_EQ(sender.waiting_since(), before);                   // nothing can be written: no progress
  std::vector<char> some(1 << 20);
  while (recv(far.get(), some.data(), some.size(), 0) > 0) {}
  sender.unblock();
  sender.flush();
  EXPECT_GT(sender.waiting_since(), before);
  EXPECT_TRUE(sender.unsent());
}

}  // namespace
}  // namespace dmi::memory::transport
