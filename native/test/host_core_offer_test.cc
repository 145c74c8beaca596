// What arrives from another host: the codec and the offer of a move on random and on mutated bytes.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <random>

#include "host/codec.h"
#include "host/error.h"
#include "host/host.h"
#include "host/layout.h"
#include "host/move_wire.h"

namespace dmi::host {
namespace {

std::mt19937_64 generator(uint64_t& seed) {
  const char* given = getenv("DMI_TEST_SEED");
  seed = given ? strtoull(given, nullptr, 0) : std::random_device{}();
  return std::mt19937_64(seed);
}

// True: the offer is taken for good, and everything it describes lies where it may.
bool reads(std::span<const std::byte> bytes) {
  Offer offer;
  try {
    const auto g = read_offer(bytes, offer);
    EXPECT_TRUE(g);
    for (const Extent& e : offer.extents) {
      EXPECT_GE(e.base, kZoneLow);
      EXPECT_LE(e.base + e.size, kZoneHigh);
    }
    uint64_t last = 0;
    for (const auto& a : offer.areas) {
      EXPECT_GE(a.start, last);
      EXPECT_LT(a.start, a.area.end);
      last = a.area.end;
      EXPECT_LE(a.file, offer.files.size());
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
  write_offer(w, 99, g, {{"/a/file", "hash", 4096}}, 1 << 20);
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

}  // namespace
}  // namespace dmi::host
