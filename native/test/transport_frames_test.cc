// What the transport promises about frames between members that behave.
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <random>
#include <set>

#include "transport_peers.h"

namespace dmi::memory::transport {
namespace {

TEST(TransportFrames, ArriveInOrderInBothDirections) {
  Node a(1), b(2);
  a.meet(b);
  b.meet(a);
  for (int i = 0; i < 500; i++) {
    a.send(2, make_frame("a" + std::to_string(i), std::string(static_cast<size_t>(i), 'x')));
    b.send(1, make_frame("b" + std::to_string(i)));
  }
  ASSERT_TRUE(eventually([&] { return a.count() == 500 && b.count() == 500; }));
  const auto at_a = a.take(), at_b = b.take();
  for (size_t i = 0; i < 500; i++) {
    EXPECT_EQ(at_a[i].head, "b" + std::to_string(i));
    EXPECT_EQ(at_b[i].head, "a" + std::to_string(i));
    EXPECT_EQ(at_b[i].body.size(), i);
  }
}

TEST(TransportFrames, SentBeforeTheAddressIsKnownArriveOnceItIs) {
  Node a(1), b(2);
  a.send(2, make_frame("early"));
  a.meet(b);
  EXPECT_TRUE(eventually([&] { return b.count() == 1; }));
}

TEST(TransportFrames, AreOneConnectionsBothWaysEvenWhenBothConnectAtOnce) {
  for (int round = 0; round < 20; round++) {
    Node a(1), b(2);
    a.meet(b);
    b.meet(a);
    std::thread other([&] { b.send(1, make_frame("from b")); });
    a.send(2, make_frame("from a"));
    other.join();
    ASSERT_TRUE(eventually([&] { return a.count() == 1 && b.count() == 1; }));
  }
}

TEST(TransportFrames, LargeBodiesGoStraightToTheirPlace) {
  Node a(1), b(2);
  a.meet(b);
  b.place.resize(8 << 20);
  std::string body(5 << 20, '\0');
  std::mt19937 random(7);
  for (auto& c : body) c = static_cast<char>(random());
  for (int i = 0; i < 4; i++) a.send(2, make_frame("large", body));
  a.send(2, make_frame("end"));
  ASSERT_TRUE(eventually([&] { return b.count() == 5; }));
  const auto got = b.take();
  for (size_t i = 0; i < 4; i++) EXPECT_TRUE(got[i].body == body) << i;
  EXPECT_EQ(b.sinks, 4);
  EXPECT_EQ(got[4].head, "end");
}

TEST(TransportFrames, LargeHeadsAndManySlicesArriveWhole) {
  Node a(1), b(2);
  a.meet(b);
  const std::string head(3 << 20, 'h');
  a.send(2, make_frame(head, "b"));
  Frame scattered;
  scattered.head = bytes_of("scattered");
  auto data = std::make_shared<std::string>(2000 * 700, ' ');
  for (size_t i = 0; i < data->size(); i++) (*data)[i] = static_cast<char>('a' + i % 26);
  for (size_t i = 0; i < 2000; i++)
    scattered.body.push_back({reinterpret_cast<const std::byte*>(data->data()) + i * 700, 700, data});
  a.send(2, std::move(scattered));
  ASSERT_TRUE(eventually([&] { return b.count() == 2; }));
  const auto got = b.take();
  EXPECT_TRUE(got[0].head == head);
  EXPECT_TRUE(got[1].body == *data);
}

TEST(TransportFrames, KeepersAreReleasedWhenThePeerHasThem) {
  Node a(1), b(2);
  a.meet(b);
  auto page = std::make_shared<std::vector<std::byte>>(1 << 20);
  Frame frame;
  frame.head = bytes_of("page");
  frame.body.push_back({page->data(), page->size(), page});
  a.send(2, std::move(frame));
  EXPECT_TRUE(eventually([&] { return page.use_count() == 1; }));
}

TEST(TransportFrames, ManyThreadsManyMembersKeepOrderPerPair) { all_to_all(8, 400, false); }

TEST(TransportFrames, AnswersAreFoundByAPollingCaller) {
  Node a(1), b(2);
  a.meet(b);
  b.meet(a);
  b.on_frame = [&](MemberId from, const std::string& head, const std::string&) { b.send(from, make_frame("re " + head)); };
  for (int i = 0; i < 3000; i++) {
    a.send(2, make_frame(std::to_string(i)));
    while (a.count() == 0) a.transport().poll(50);
    ASSERT_EQ(a.take()[0].head, "re " + std::to_string(i));
  }
}

TEST(TransportFrames, APausedPollerIsReplacedByTheCommunicationThread) {
  Node a(1), b(2);
  a.meet(b);
  b.meet(a);
  b.on_frame = [&](MemberId from, const std::string& head, const std::string&) { b.send(from, make_frame("re " + head)); };
  for (int i = 0; i < 50; i++) {
    a.send(2, make_frame("x"));
    while (a.count() == 0) a.transport().poll(50);
    a.take();
    // No polls from here on: the answer must come all the same, and soon.
    const auto before = std::chrono::steady_clock::now();
    a.send(2, make_frame("y"));
    ASSERT_TRUE(eventually([&] { return a.count() == 1; }));
    EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(1));
    a.take();
  }
}

TEST(TransportFrames, QuietIsToldWhenAllIsAcknowledged) {
  Node a(1), b(2);
  a.meet(b);
  for (int i = 0; i < 10; i++) a.send(2, make_frame("x"));
  std::atomic<size_t> seen{0};
  std::atomic<bool> quiet{false};
  a.transport().when_quiet([&] {
    seen = b.count();
    quiet = true;
  });
  ASSERT_TRUE(eventually([&] { return quiet.load(); }));
  EXPECT_EQ(seen, 10u);
}

double processor_seconds() {
  rusage u;
  getrusage(RUSAGE_SELF, &u);
  return static_cast<double>(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + static_cast<double>(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

std::set<int> eventfds() {
  std::set<int> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    if (std::filesystem::read_symlink(entry.path(), gone).string().find("[eventfd]") != std::string::npos)
      found.insert(std::stoi(entry.path().filename()));
  }
  return found;
}

TEST(TransportFrames, AnIdleTransportUsesNoProcessorTime) {
  const auto others = eventfds();
  Node a(1), b(2);
  a.meet(b);
  a.send(2, make_frame("x"));
  ASSERT_TRUE(eventually([&] { return b.count() == 1; }));
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  // Whoever wakes a transport's thread may lose the processor in the middle of it: the thread has done what there was to do when
  // the event comes.
  int late = 0;
  for (const int fd : eventfds())
    if (!others.count(fd) && eventfd_write(fd, 1) == 0) late++;
  EXPECT_EQ(late, 2);
  const double before = processor_seconds();
  std::this_thread::sleep_for(std::chrono::seconds(2));
  EXPECT_LT(processor_seconds() - before, 0.02) << "more than 1 % of a core";
}

TEST(TransportStreams, HandOverABlockingAuthenticatedConnection) {
  Node a(1), b(2);
  a.meet(b);
  const auto extra = bytes_of("thread 7");
  const int fd = a.transport().open_stream(2, "move", extra, 5);
  ASSERT_GE(fd, 0);
  ASSERT_TRUE(eventually([&] { return b.streams().size() == 1; }));
  const auto stream = b.streams()[0];
  EXPECT_EQ(stream.service, "move");
  EXPECT_EQ(stream.from, 1);
  EXPECT_EQ(stream.extra, "thread 7");
  ASSERT_EQ(write(fd, "hello", 5), 5);
  char text[5];
  ASSERT_EQ(recv(stream.fd, text, 5, MSG_WAITALL), 5);
  EXPECT_EQ(std::string(text, 5), "hello");
  close(fd);
  EXPECT_EQ(recv(stream.fd, text, 1, 0), 0);
  close(stream.fd);
}

TEST(TransportStreams, FailWithAnErrorNumber) {
  Node a(1), b(2);
  EXPECT_EQ(a.transport().open_stream(2, "move", {}, 1), -EHOSTUNREACH);
  a.transport().know(2, "127.0.0.1", 1);
  EXPECT_EQ(a.transport().open_stream(2, "move", {}, 1), -ECONNREFUSED);
  Node wrong(3, 30, "other key");
  wrong.meet(b);
  EXPECT_EQ(wrong.transport().open_stream(2, "move", {}, 2), -ECONNREFUSED);
}

TEST(TransportForget, NothingIsSentToOrTakenFromAMemberThatIsGone) {
  Node a(1), b(2);
  a.meet(b);
  b.meet(a);
  a.send(2, make_frame("x"));
  ASSERT_TRUE(eventually([&] { return b.count() == 1; }));
  b.transport().forget(1);
  b.send(1, make_frame("never"));
  a.send(2, make_frame("to the dead"));
  EXPECT_TRUE(eventually([&] { return a.logged("member 1 has left the job"); }));
  EXPECT_EQ(b.count(), 1u);
  EXPECT_EQ(a.count(), 0u);
}

TEST(TransportUnreachable, IsReportedAfterThePeerTimeout) {
  Node a(1, 0.3);
  a.transport().know(2, "127.0.0.1", 1);
  a.send(2, make_frame("x"));
  EXPECT_TRUE(eventually([&] { return a.unreachable(2).find("refused") != std::string::npos; }, 5));
}

}  // namespace
}  // namespace dmi::memory::transport
