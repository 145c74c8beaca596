// What arrives from another host: the codec and the offer of a move on random and on mutated bytes.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <set>

#include "host/codec.h"
#include "host/error.h"
#include "host/guest_wire.h"
#include "host/host.h"
#include "host/layout.h"
#include "host/move_layout.h"
#include "host/move_wire.h"
#include "host/pages.h"
#include "host/platform.h"

namespace dmi::host {
namespace {

std::mt19937_64 generator(uint64_t& seed) {
  const char* given = getenv("DMI_TEST_SEED");
  seed = given ? strtoull(given, nullptr, 0) : std::random_device{}();
  return std::mt19937_64(seed);
}

// True: the offer is taken for good, and everything it describes lies where it may.
bool reads(std::span<const std::byte> bytes) {
  try {
    const Layout layout = read_offer(bytes).layout;
    for (const Extent& e : layout.extents) {
      EXPECT_GE(e.base, kZoneLow);
      EXPECT_LE(e.base + e.size, kZoneHigh);
    }
    uint64_t last = 0;
    for (const Mapping& m : layout.mappings) {
      EXPECT_GE(m.start, last);
      EXPECT_LT(m.start, m.end);
      last = m.end;
      EXPECT_LE(m.file, layout.files.size());
    }
    return true;
  } catch (const Error& e) {
    EXPECT_EQ(e.code, "refused");
    return false;
  }
}

TEST(Codec, GivesBackWhatWasWritten) {
  Writer w;
  w.num<uint8_t>(7);
  w.num<int64_t>(-5);
  w.text("text");
  w.num(2.5);
  Reader r(w.view());
  EXPECT_EQ(r.num<uint8_t>(), 7);
  EXPECT_EQ(r.num<int64_t>(), -5);
  EXPECT_EQ(r.text(), "text");
  EXPECT_EQ(r.num<double>(), 2.5);
  EXPECT_TRUE(r.ok());
  EXPECT_EQ(r.left(), 0u);
  EXPECT_EQ(r.num<uint8_t>(), 0);
  EXPECT_FALSE(r.ok());
}

TEST(Codec, NeverReadsPastTheEnd) {
  uint64_t seed;
  auto random = generator(seed);
  SCOPED_TRACE("DMI_TEST_SEED=" + std::to_string(seed));
  for (int i = 0; i < 5000; i++) {
    std::vector<std::byte> bytes(random() % 64);
    for (auto& b : bytes) b = random() % 3 ? std::byte(random()) : std::byte(0);
    Reader r(bytes);
    size_t taken = 0;
    for (int k = 0; k < 20; k++) {
      switch (random() % 4) {
        case 0: r.num<uint8_t>(); break;
        case 1: r.num<uint64_t>(); break;
        case 2: taken += r.text().size(); break;
        default: ASSERT_LE(r.count(1 + random() % 20), bytes.size());
      }
      ASSERT_LE(r.left(), bytes.size());
    }
    ASSERT_LE(taken, bytes.size());
  }
}

TEST(Offer, RandomBytesAreRefused) {
  uint64_t seed;
  auto random = generator(seed);
  SCOPED_TRACE("DMI_TEST_SEED=" + std::to_string(seed));
  for (int i = 0; i < 5000; i++) {
    Writer w;
    if (random() % 4) w.num(kMoveWire), w.num<uint64_t>(random()), w.text(Host::get().build());
    for (uint64_t n = random() % 100; n > 0; n--) w.num<uint64_t>(random() % 3 ? random() % 4 : random());
    ASSERT_FALSE(reads(w.view()));
  }
}

TEST(Offer, OfAnotherVersionOrBuildIsRefusedWithBothNamed) {
  const auto refusal = [](uint32_t wire, const std::string& build) -> std::string {
    Writer w;
    w.num(wire), w.num<uint64_t>(99), w.text(build);
    try {
      read_offer(w.view());
    } catch (const Error& e) {
      EXPECT_EQ(e.code, "refused");
      return e.what();
    }
    return "";
  };
  const std::string build = Host::get().build(), other(64, 'f');
  EXPECT_EQ(refusal(kMoveWire - 1, build), "the source speaks move wire version " + std::to_string(kMoveWire - 1) + ", this host " +
                                               std::to_string(kMoveWire));
  EXPECT_EQ(refusal(kMoveWire, other), "the source is another build of dmi-host (" + other.substr(0, 12) + ", here " + build.substr(0, 12) +
                                           "): threads move only between equal builds");
}

TEST(Offer, AnyMutationOfARealOneIsRefusedOrHarmless) {
  uint64_t seed;
  auto random = generator(seed);
  SCOPED_TRACE("DMI_TEST_SEED=" + std::to_string(seed));
  Guest g;
  g.key = 1ull << 32 | 5;
  g.cwd = "/tmp";
  g.files.open_console();
  g.space.create({kZoneLow, kZoneHigh}, 1 << 24);
  ASSERT_GT(g.space.map(0, 1 << 20, 3, 0x22, -1, 0, nullptr), 0);
  ASSERT_GT(g.space.map(0, 1 << 16, 1, 0x22, -1, 0, nullptr), 0);
  Writer w;
  w.num(kMoveWire), w.num<uint64_t>(99), w.text(Host::get().build()), w.num(g.key), w.num<uint64_t>(1 << 20);
  write_features(w, {"avx2", "sse2"});
  Beacon().save(w);
  g.files.save(w);
  write_layout(w, layout_of(g.space, {{"/a/file", "hash", 4096, ""}}));
  const std::vector<std::byte> whole(w.view().begin(), w.view().end());
  ASSERT_TRUE(reads(whole));
  for (size_t size = 0; size < whole.size(); size++) ASSERT_FALSE(reads(std::span(whole).first(size))) << "cut to " << size;
  for (int i = 0; i < 20000; i++) {
    auto bytes = whole;
    for (uint64_t n = 1 + random() % 3; n > 0; n--) {
      const uint64_t special[] = {0, 1, ~0ull, 1ull << 63, 4095, kZoneHigh, kZoneLow, random()};
      const uint64_t value = special[random() % std::size(special)];
      const size_t width = 1u << random() % 4, at = random() % (bytes.size() - width);
      memcpy(&bytes[at], &value, width);
    }
    reads(bytes);
    if (testing::Test::HasFailure()) FAIL() << "mutation " << i;
  }
}

// What the offer calls a file may be a named pipe here: nobody waits for its other end.
TEST(Offer, OfAFileThatIsANamedPipeHereIsRefused) {
  const std::string path = testing::TempDir() + "dmi-offer-pipe-" + std::to_string(getpid());
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  for (const FileKind kind : {FileKind::Regular, FileKind::Directory, FileKind::Device})
    for (const int flags : {O_RDONLY, O_WRONLY, O_RDWR}) {
      Writer w;
      w.num<uint64_t>(1);
      w.num(kind), w.num<int32_t>(flags), w.num<int64_t>(0), w.num<int64_t>(0);
      w.text(path), w.text("file");
      w.num<uint64_t>(1);
      w.num<int32_t>(3), w.num<uint8_t>(0), w.num<uint64_t>(0);
      Reader r(w.view());
      Descriptors files;
      try {
        files.load(r);
        ADD_FAILURE() << "taken";
      } catch (const Error& e) {
        EXPECT_EQ(e.code, "refused");
        EXPECT_NE(std::string(e.what()).find(path), std::string::npos) << e.what();
      }
    }
  unlink(path.c_str());
}

TEST(Descriptors, OpenAFileAgainAsItWas) {
  const std::string path = testing::TempDir() + "dmi-offer-file-" + std::to_string(getpid());
  const int fd = open(path.c_str(), O_CREAT | O_RDWR, 0600);
  ASSERT_EQ(write(fd, "0123456789", 10), 10);
  for (const int extra : {0, O_NONBLOCK, O_TMPFILE & ~O_DIRECTORY, O_CREAT | O_TRUNC}) {
    Writer w;
    w.num<uint64_t>(1);
    w.num(FileKind::Regular), w.num<int32_t>(O_RDWR | O_APPEND | extra), w.num<int64_t>(7), w.num<int64_t>(10);
    w.text(path), w.text("file");
    w.num<uint64_t>(1);
    w.num<int32_t>(3), w.num<uint8_t>(0), w.num<uint64_t>(0);
    Reader r(w.view());
    Descriptors files;
    files.load(r);
    ASSERT_NE(files.get(3), nullptr);
    const int flags = fcntl(files.get(3)->real, F_GETFL);
    EXPECT_EQ(flags & (O_ACCMODE | O_APPEND | O_NONBLOCK), O_RDWR | O_APPEND | (extra & O_NONBLOCK));
    EXPECT_EQ(lseek(files.get(3)->real, 0, SEEK_CUR), 7);
    EXPECT_EQ(lseek(fd, 0, SEEK_END), 10);
  }
  close(fd);
  unlink(path.c_str());
}

// What a thread reads goes on at its destination with the byte after the last that it has taken.
TEST(Input, GoesOnAtItsPlaceInTheStream) {
  SystemCall call{};
  for (const int64_t left : {kForever, int64_t{1'000'000'000}}) {
    Input in;
    in.offset = 70'000, in.unread = "0123456789", in.taken = 7, in.end = false;
    in.call = &call, in.until = left == kForever ? kForever : monotonic_ns() + left, in.ask_at = kForever;
    Writer w;
    in.save(w);
    Reader r(w.view());
    Input there;
    there.load(r);
    EXPECT_TRUE(r.ok() && r.left() == 0);
    EXPECT_EQ(there.offset, 70'000u);
    EXPECT_EQ(there.unread.substr(there.taken), "789");
    EXPECT_FALSE(there.end);
    EXPECT_EQ(there.call, &call);
    EXPECT_EQ(there.ask_at, 0);
    if (left == kForever) EXPECT_EQ(there.until, kForever);
    else EXPECT_NEAR(static_cast<double>(there.until), static_cast<double>(in.until), 60e9);
  }
}

// The thread's own state: mutated and cut, it is refused or read without harm.
TEST(ThreadState, AnyMutationIsRefusedOrHarmless) {
  uint64_t seed;
  auto random = generator(seed);
  SCOPED_TRACE("DMI_TEST_SEED=" + std::to_string(seed));
  Guest g;
  g.key = 1ull << 32 | 5;
  g.cwd = "/tmp";
  g.files.open_console();
  g.input.unread = "what it has not read yet";
  Writer w;
  write_guest(w, g);
  const std::vector<std::byte> whole(w.view().begin(), w.view().end());
  const auto reads_guest = [](std::span<const std::byte> bytes) {
    Guest to;
    Reader r(bytes);
    try {
      read_guest(r, to);
      return true;
    } catch (const Error& e) {
      EXPECT_EQ(e.code, "refused");
      return false;
    }
  };
  ASSERT_TRUE(reads_guest(whole));
  for (size_t size = 0; size < whole.size(); size++) ASSERT_FALSE(reads_guest(std::span(whole).first(size))) << "cut to " << size;
  for (int i = 0; i < 20000; i++) {
    auto bytes = whole;
    const uint64_t special[] = {0, 1, ~0ull, 1ull << 63, random()};
    const uint64_t value = special[random() % std::size(special)];
    const size_t width = 1u << random() % 4, at = random() % (bytes.size() - width);
    memcpy(&bytes[at], &value, width);
    reads_guest(bytes);
    if (testing::Test::HasFailure()) FAIL() << "mutation " << i;
  }
}

TEST(Neighbourhoods, CoverEachMappingOnceAndNothingFarFromAny) {
  constexpr uint64_t kFar = 3 << 20;
  const std::vector<Mapping> mappings{{kPage, 2 * kPage}, {2 * kPage, 3 * kPage}, {5 * kPage, 6 * kPage}, {6 * kPage + kFar, 6 * kPage + 2 * kFar}};
  const auto all = neighbourhoods(mappings);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].start, kPage);
  EXPECT_EQ(all[0].size, 5 * kPage);
  EXPECT_EQ(all[1].start, 6 * kPage + kFar);
  EXPECT_EQ(all[1].size, kFar);
  EXPECT_TRUE(neighbourhoods({}).empty());
}

// What a remapping does to a model of the memory, page by page.
TEST(Remapping, TurnsOneLayoutIntoTheOtherAndTouchesNothingElse) {
  uint64_t seed;
  auto random = generator(seed);
  SCOPED_TRACE("DMI_TEST_SEED=" + std::to_string(seed));
  constexpr uint64_t kPages = 40;
  const auto layout = [&] {
    std::vector<Mapping> l;
    for (uint64_t at = random() % 4; at < kPages;) {
      const uint64_t end = std::min(kPages, at + 1 + random() % 8);
      const auto file = static_cast<uint32_t>(random() % 3);
      const int prot = random() % 3 ? 3 : 1;
      l.push_back({at * kPage, end * kPage, prot, file, file ? (random() % 2 ? at : random() % 4) * kPage : 0});
      at = end + (random() % 2 ? 0 : random() % 5);
    }
    return l;
  };
  const auto content = [](const std::vector<Mapping>& l, uint64_t page) -> std::pair<int64_t, uint64_t> {
    for (const Mapping& m : l)
      if (m.start <= page * kPage && page * kPage < m.end) return {m.file, m.file ? m.offset + page * kPage - m.start : 0};
    return {-1, 0};
  };
  const auto protection = [](const std::vector<Mapping>& l, uint64_t page) {
    for (const Mapping& m : l)
      if (m.start <= page * kPage && page * kPage < m.end) return m.prot;
    return -1;
  };
  for (int i = 0; i < 3000; i++) {
    const auto before = layout(), after = layout();
    const Remapping r = remapping(before, after);
    for (uint64_t page = 0; page < kPages; page++) {
      const uint64_t at = page * kPage;
      const bool reserved = std::any_of(r.reserve.begin(), r.reserve.end(), [&](const Extent& e) { return e.base <= at && at < e.base + e.size; });
      const auto mapped = content(r.map, page), was = content(before, page), is = content(after, page);
      ASSERT_FALSE(reserved && mapped.first >= 0) << page;
      ASSERT_EQ(reserved, was.first >= 0 && is.first < 0) << page;
      if (was == is) { ASSERT_LT(mapped.first, 0) << page; }
      else if (is.first >= 0) { ASSERT_EQ(mapped, is) << page; }
      if (is.first < 0) continue;
      ASSERT_FALSE(mapped.first >= 0 && protection(r.protect, page) >= 0) << page << " mapped and protected";
      const int changed = std::max(protection(r.map, page), protection(r.protect, page));
      ASSERT_EQ(changed >= 0 ? changed : protection(before, page), protection(after, page)) << page;
      if (mapped.first < 0) { ASSERT_EQ(changed >= 0, protection(before, page) != protection(after, page)) << page; }
    }
  }
}

// Against sets of pages.
TEST(Runs, DifferenceIsThatOfTheSets) {
  uint64_t seed;
  auto random = generator(seed);
  SCOPED_TRACE("DMI_TEST_SEED=" + std::to_string(seed));
  for (int i = 0; i < 5000; i++) {
    std::vector<dmi::host::Run> a(random() % 6), b(random() % 6);
    std::set<uint64_t> pages;
    for (dmi::host::Run& r : a) {
      r = {random() % 30 * kPage, (1 + random() % 8) * kPage};
      for (uint64_t p = r.start; p < r.start + r.size; p += kPage) pages.insert(p);
    }
    for (dmi::host::Run& r : b) {
      r = {random() % 30 * kPage, (1 + random() % 8) * kPage};
      for (uint64_t p = r.start; p < r.start + r.size; p += kPage) pages.erase(p);
    }
    std::set<uint64_t> got;
    for (const dmi::host::Run& r : difference(a, b))
      for (uint64_t p = r.start; p < r.start + r.size; p += kPage) ASSERT_TRUE(got.insert(p).second) << "twice";
    ASSERT_EQ(got, pages);
  }
}

TEST(Runs, WithinARangeAreThoseOfItsPages) {
  uint64_t seed;
  auto random = generator(seed);
  SCOPED_TRACE("DMI_TEST_SEED=" + std::to_string(seed));
  for (int i = 0; i < 5000; i++) {
    const uint64_t low = random() % 40, high = low + random() % 20;
    std::vector<dmi::host::Run> all, found;
    std::set<uint64_t> pages, got;
    for (uint64_t at = random() % 5; at < 60;) {  // some touch each other
      const uint64_t end = at + 1 + random() % 8;
      all.push_back({at * kPage, (end - at) * kPage});
      for (; at < end; at++)
        if (low <= at && at < high) pages.insert(at);
      at += random() % 4;
    }
    within(all, low * kPage, high * kPage, found);
    for (const dmi::host::Run& r : found)
      for (uint64_t p = r.start / kPage; p < (r.start + r.size) / kPage; p++) ASSERT_TRUE(got.insert(p).second) << "twice";
    ASSERT_EQ(got, pages);
  }
}

TEST(Runs, PortionsHoldTheSameAndNoneMoreThanItMay) {
  constexpr uint64_t kMost = 5 * kPage;
  const std::vector<dmi::host::Run> runs = {{10 * kPage, 2 * kPage}, {20 * kPage, 17 * kPage}, {50 * kPage, kPage}, {60 * kPage, 4 * kPage}};
  uint64_t sum = 0;
  std::set<uint64_t> got;
  for (const auto& portion : portions(runs, kMost)) {
    uint64_t size = 0;
    for (const dmi::host::Run& r : portion) {
      size += r.size;
      for (uint64_t p = r.start; p < r.start + r.size; p += kPage) ASSERT_TRUE(got.insert(p).second) << "twice";
    }
    ASSERT_GT(size, 0u);
    ASSERT_LE(size, kMost);
    sum += size;
  }
  for (const dmi::host::Run& r : runs)
    for (uint64_t p = r.start; p < r.start + r.size; p += kPage) ASSERT_TRUE(got.contains(p));
  EXPECT_EQ(sum, 24 * kPage);
  EXPECT_TRUE(portions({}, kMost).empty());
}

}  // namespace
}  // namespace dmi::host
