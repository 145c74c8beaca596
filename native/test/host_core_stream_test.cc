// Pages that disappear while they are sent, and pages without a place where they arrive: the stream of a live move stays in
// step, and loses nothing but those. Pieces of pages, compressed or not: what is sent arrives, and what is spoilt is refused.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <random>
#include <thread>
#include <vector>

#include "host/error.h"
#include "host/move_wire.h"
#include "host/page_packer.h"
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

// What a source sends of [at, at + size) in pieces, all compressed that can be.
std::vector<char> in_pieces(uint64_t at, size_t size) {
  const uint32_t count = 1u << 31 | 1;
  const host::Run run{at, size};
  std::vector<char> all(reinterpret_cast<const char*>(&count), reinterpret_cast<const char*>(&count) + 4);
  all.insert(all.end(), reinterpret_cast<const char*>(&run), reinterpret_cast<const char*>(&run) + sizeof run);
  PagePacker packer;
  for (size_t done = 0; done < size; done += kPiece) packer.pack(at + done, static_cast<uint32_t>(std::min<size_t>(kPiece, size - done)), all);
  all.insert(all.end(), 4, 0);
  return all;
}

// Takes `bytes` in as pages, and gives what they are refused for; nothing, if they are not.
std::string take_in(const std::vector<char>& bytes, bool provisional = false) {
  int ends[2];
  connect_pair(ends);
  std::thread sender([&] {
    for (size_t at = 0; at < bytes.size();) {
      const ssize_t n = ::send(ends[0], bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
      if (n <= 0) break;
      at += static_cast<size_t>(n);
    }
    close(ends[0]);
  });
  std::string why;
  {
    MoveStream in(ends[1], 5);
    uint64_t received = 0;
    try {
      in.receive_pages([](const host::Run&) { return true; }, provisional, received);
    } catch (const Error& e) {
      why = e.code + ": " + e.what();
    }
  }
  sender.join();
  return why;
}

// Pages of every kind: one byte over and over, noise, and in between.
void fill(char* memory, size_t pages, unsigned seed) {
  std::mt19937 random(seed);
  for (size_t page = 0; page < pages; page++)
    for (size_t i = 0; i < kPage; i++) memory[page * kPage + i] = static_cast<char>(page % 3 == 0 ? page : page % 3 == 1 ? random() : i / 7 * page);
}

TEST(Pieces, ArriveAsTheyWere) {
  constexpr size_t pages = 3 * kPiece / kPage + 5;
  char* memory = fresh(pages);
  fill(memory, pages, 1);
  const std::vector<char> was(memory, memory + pages * kPage), sent = in_pieces(reinterpret_cast<uint64_t>(memory), pages * kPage);
  EXPECT_LT(sent.size(), was.size() / 4 * 3);
  memset(memory, 0, was.size());
  EXPECT_EQ(take_in(sent), "");
  EXPECT_EQ(memcmp(memory, was.data(), was.size()), 0);
  munmap(memory, was.size());
}

TEST(Pieces, OfWhatCannotBeReadArriveAsZeros) {
  char *memory = fresh(2), *there = fresh(2);
  memset(memory, 7, 2 * kPage);
  memset(there, 9, 2 * kPage);
  take_away(memory + kPage);
  PagePacker packer;
  std::vector<char> out;
  EXPECT_EQ(packer.pack(reinterpret_cast<uint64_t>(memory), 2 * kPage, out), kPage);
  PieceHead head;
  memcpy(&head, out.data(), sizeof head);
  ASSERT_EQ(out.size(), sizeof head + head.packed);
  PageUnpacker unpacker;
  memcpy(unpacker.room(), out.data() + sizeof head, head.packed);
  EXPECT_TRUE(unpacker.unpack(head, reinterpret_cast<uint64_t>(there)));
  EXPECT_EQ(std::vector<char>(there, there + kPage), std::vector<char>(kPage, 7));
  EXPECT_EQ(std::vector<char>(there + kPage, there + 2 * kPage), std::vector<char>(kPage, 0));
  munmap(memory, 2 * kPage);
  munmap(there, 2 * kPage);
}

TEST(Pieces, OfALongRunStayInStepWhenAPageDisappearsAtTheSource) {
  constexpr size_t pages = 9 * 256 + 3, hole = 4 * 256 + 9;
  char* memory = fresh(pages);
  fill(memory, pages, 5);
  std::vector<char> was(memory, memory + pages * kPage);
  take_away(memory + hole * kPage);
  const auto at = reinterpret_cast<uint64_t>(memory);
  const std::vector<host::Run> runs = {{at, 3 * kPage}, {at + 3 * kPage, (pages - 3) * kPage}};
  std::vector<host::Run> missed;
  uint64_t bytes = 0;
  int ends[2];
  connect_pair(ends);
  std::thread sender([&] {
    MoveStream out(ends[0], 5);
    out.send_pages(runs, bytes, &missed);
    out.end_pages();
  });
  std::vector<char> sent;
  for (char part[64 << 10]; ssize_t n = recv(ends[1], part, sizeof part, 0);) {
    ASSERT_GT(n, 0);
    sent.insert(sent.end(), part, part + n);
  }
  sender.join();
  close(ends[1]);
  EXPECT_EQ(bytes, pages * kPage);
  ASSERT_FALSE(missed.empty());
  for (const host::Run& m : missed) {
    EXPECT_LE(m.start, at + hole * kPage);
    EXPECT_LT(at + hole * kPage, m.start + m.size);
    memset(was.data() + (m.start - at), 0, m.size);
  }
  mmap(memory, pages * kPage, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_EQ(take_in(sent), "");
  EXPECT_EQ(memcmp(memory, was.data(), was.size()), 0);
  munmap(memory, was.size());
}

TEST_P(Stream, UnpacksEverythingThatHasAPlaceAtTheDestination) {
  char* memory = fresh(kPages);
  fill(memory, kPages, 2);
  const std::vector<char> was(memory, memory + kPages * kPage), sent = in_pieces(reinterpret_cast<uint64_t>(memory), kPages * kPage);
  memset(memory, 0, was.size());
  const size_t hole = GetParam();
  take_away(memory + hole * kPage);
  EXPECT_EQ(take_in(sent, true), "");
  for (size_t i = 0; i < kPages; i++)
    if (i != hole) {
      EXPECT_EQ(memcmp(memory + i * kPage, was.data() + i * kPage, kPage), 0) << "page " << i;
    }
  EXPECT_NE(take_in(sent, false).find("unreachable: the connection of the move broke while receiving: Bad address"), std::string::npos);
  munmap(memory, was.size());
}

TEST(Pieces, ThatClaimTooMuchOrTooLittleAreRefused) {
  char* memory = fresh(kPages);
  memset(memory, 7, kPages * kPage);
  const size_t size = kPages * kPage;
  const std::vector<char> good = in_pieces(reinterpret_cast<uint64_t>(memory), size);
  PieceHead right;
  memcpy(&right, &good[4 + sizeof(host::Run)], sizeof right);
  ASSERT_GT(right.packed, 0u);
  const auto with = [&](PieceHead head) {
    std::vector<char> bytes = good;
    memcpy(&bytes[4 + sizeof(host::Run)], &head, sizeof head);
    return take_in(bytes);
  };
  EXPECT_EQ(with(right), "");
  const auto u32 = [](size_t n) { return static_cast<uint32_t>(n); };
  for (const PieceHead head : {PieceHead{0, 0}, PieceHead{0, 5}, PieceHead{u32(kPage / 2), 5}, PieceHead{u32(size + kPage), 5}, PieceHead{u32(size), u32(size)},
                               PieceHead{u32(size), UINT32_MAX}, PieceHead{UINT32_MAX, 5}, PieceHead{UINT32_MAX & ~4095u, 0}})
    EXPECT_EQ(with(head), "refused: a piece of " + std::to_string(head.memory) + " bytes of pages, compressed to " + std::to_string(head.packed) +
                              ", where " + std::to_string(size) + " are due");
  for (const PieceHead head : {PieceHead{u32(size - kPage), right.packed}, PieceHead{right.memory, right.packed - 1}})
    EXPECT_EQ(with(head), "refused: a compressed piece that does not unpack to its " + std::to_string(head.memory) + " bytes");
  munmap(memory, size);
}

TEST(Pieces, ThatAreSpoiltOrCutNeverGoUnnoticedBeyondTheirRun) {
  constexpr size_t pages = 24;
  char* memory = fresh(pages + 2);
  fill(memory, pages + 2, 3);
  const auto at = reinterpret_cast<uint64_t>(memory) + kPage;
  const std::vector<char> before(memory, memory + kPage), after(memory + (pages + 1) * kPage, memory + (pages + 2) * kPage);
  const std::vector<char> good = in_pieces(at, pages * kPage);
  std::mt19937 random(4);
  int refused = 0;
  for (int i = 0; i < 200; i++) {
    std::vector<char> bytes = good;
    const size_t where = 4 + sizeof(host::Run) + random() % (bytes.size() - 4 - sizeof(host::Run) - 4);
    if (i % 2) bytes.resize(where);
    else bytes[where] = static_cast<char>(bytes[where] ^ (1 << random() % 8));
    const std::string why = take_in(bytes);
    if (i % 2) {
      EXPECT_EQ(why, "unreachable: the connection of the move broke while receiving: closed by the other side");
    }
    refused += why.starts_with("refused");
    ASSERT_EQ(memcmp(memory, before.data(), kPage), 0);
    ASSERT_EQ(memcmp(memory + (pages + 1) * kPage, after.data(), kPage), 0);
  }
  EXPECT_GT(refused, 0);
  munmap(memory, (pages + 2) * kPage);
}

INSTANTIATE_TEST_SUITE_P(Hole, Stream, testing::Values(0, 1, 7, 8, 9, 20, kPages - 1));

}  // namespace
}  // namespace dmi::host
