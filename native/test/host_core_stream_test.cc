// Pages that disappear while they are sent, and pages without a place where they arrive: the stream of a live move stays in
// step, and loses nothing but those.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "host/error.h"
#include "host/move_wire.h"
#include "host/platform.h"

namespace dmi::host {
namespace {

// A real connection: what the kernel gives up when a page is missing depends on the protocol.
void connect_pair(int (&ends)[2]) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&at), size), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&at), &size), 0);
  ends[0] = socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_EQ(connect(ends[0], reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  ends[1] = accept(listener, nullptr, nullptr);
  close(listener);
}

char* fresh(size_t pages) {
  return static_cast<char*>(mmap(nullptr, pages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

// Not unmapped: something else would be mapped there.
void take_away(char* page) { mmap(page, kPage, PROT_NONE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }

constexpr size_t kPages = 40;

class Stream : public testing::TestWithParam<size_t> {};

TEST_P(Stream, StaysInStepWhenAPageDisappearsAtTheSource) {
  int ends[2];
  connect_pair(ends);
  // Sender and receiver are one process here, so the receiver is told other addresses through a second connection's eyes: the
  // pages are read as plain bytes.
  char* memory = fresh(kPages);
  for (size_t i = 0; i < kPages; i++) memset(memory + i * kPage, static_cast<int>(i + 1), kPage);
  const size_t hole = GetParam();
  take_away(memory + hole * kPage);
  const auto at = reinterpret_cast<uint64_t>(memory);
  const std::vector<host::Run> runs = {{at, 8 * kPage}, {at + 8 * kPage, kPage}, {at + 9 * kPage, (kPages - 9) * kPage}};
  std::vector<host::Run> missed;
  uint64_t bytes = 0;
  std::thread sender([&] {
    MoveStream out(ends[0], 5);
    out.send(MoveMessage::Pages);
    out.send_pages(runs, bytes, &missed);
    out.end_pages();
    out.send(MoveMessage::Abort);
    std::vector<std::byte> body;
    EXPECT_EQ(out.receive(body), MoveMessage::Running);
  });
  const auto read = [&](void* to, size_t size) { ASSERT_EQ(recv(ends[1], to, size, MSG_WAITALL), static_cast<ssize_t>(size)); };
  uint8_t head[5];
  read(head, 5);
  EXPECT_EQ(head[4], static_cast<uint8_t>(MoveMessage::Pages));
  uint32_t count = 0;
  read(&count, 4);
  ASSERT_EQ(count, runs.size());
  std::vector<host::Run> told(count);
  read(told.data(), count * sizeof(host::Run));
  std::vector<char> got(kPages * kPage);
  read(got.data(), got.size());
  read(&count, 4);
  EXPECT_EQ(count, 0u);
  read(head, 5);
  EXPECT_EQ(head[4], static_cast<uint8_t>(MoveMessage::Abort));
  const char running[5] = {0, 0, 0, 0, static_cast<char>(MoveMessage::Running)};
  ASSERT_EQ(::send(ends[1], running, 5, 0), 5);
  sender.join();
  close(ends[1]);

  const auto is_missed = [&](size_t page) {
    for (const host::Run& m : missed)
      if (m.start <= at + page * kPage && at + (page + 1) * kPage <= m.start + m.size) return true;
    return false;
  };
  EXPECT_TRUE(is_missed(hole));
  for (const host::Run& m : missed) EXPECT_TRUE(at <= m.start && m.start + m.size <= at + kPages * kPage) << "what is missed is one of the runs";
  for (size_t i = 0; i < kPages; i++)
    if (!is_missed(i)) {
      EXPECT_EQ(std::vector<char>(got.begin() + static_cast<ptrdiff_t>(i * kPage), got.begin() + static_cast<ptrdiff_t>((i + 1) * kPage)), std::vector<char>(kPage, static_cast<char>(i + 1))) << "page " << i;
    }
  munmap(memory, kPages * kPage);
}

TEST_P(Stream, KeepsEverythingThatHasAPlaceAtTheDestination) {
  int ends[2];
  connect_pair(ends);
  char* memory = fresh(kPages);
  const size_t hole = GetParam();
  take_away(memory + hole * kPage);
  const auto at = reinterpret_cast<uint64_t>(memory);
  std::thread sender([&] {
    const uint32_t count = 1, end = 0;
    const host::Run run{at, kPages * kPage};
    std::vector<char> all(reinterpret_cast<const char*>(&count), reinterpret_cast<const char*>(&count) + 4);
    all.insert(all.end(), reinterpret_cast<const char*>(&run), reinterpret_cast<const char*>(&run) + sizeof run);
    for (size_t i = 0; i < kPages; i++) all.insert(all.end(), kPage, static_cast<char>(i + 1));
    all.insert(all.end(), reinterpret_cast<const char*>(&end), reinterpret_cast<const char*>(&end) + 4);
    EXPECT_EQ(::send(ends[0], all.data(), all.size(), 0), static_cast<ssize_t>(all.size()));
  });
  {
    MoveStream in(ends[1], 5);
    uint64_t bytes = 0;
    in.receive_pages([](const host::Run&) { return true; }, true, bytes);
    EXPECT_EQ(bytes, kPages * kPage);
  }
  sender.join();
  close(ends[0]);
  for (size_t i = 0; i < kPages; i++)
    if (i != hole) {
      EXPECT_EQ(std::vector<char>(memory + i * kPage, memory + (i + 1) * kPage), std::vector<char>(kPage, static_cast<char>(i + 1))) << "page " << i;
    }
  munmap(memory, kPages * kPage);
}

INSTANTIATE_TEST_SUITE_P(Hole, Stream, testing::Values(0, 1, 7, 8, 9, 20, kPages - 1));

}  // namespace
}  // namespace dmi::host
