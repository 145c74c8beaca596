// A thread's address space against a model that knows nothing but pages.
#include <errno.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cstring>
#include <fstream>
#include <map>
#include <random>
#include <sstream>

#include "host/address_space.h"
#include "host/error.h"
#include "host/huge_pages.h"
#include "host/layout.h"
#include "host/platform.h"

namespace dmi::host {
namespace {

uint64_t seed_of_run() {
  const char* given = getenv("DMI_TEST_SEED");
  return given ? strtoull(given, nullptr, 0) : std::random_device{}();
}

constexpr uint64_t kRegion = 8ull << 20;
constexpr Zone kZone{kZoneLow, kZoneHigh};
constexpr uint64_t kElsewhere = 0x500000000000;  // free under sanitizers too
constexpr Zone kWide{kElsewhere, kElsewhere + (4ull << 40)};

struct Page {
  int prot = 0;
  uint8_t tag = 0;  // what its first byte holds
};

class Model {
 public:
  explicit Model(uint64_t seed) : random_(seed) {
    space_.create(kZone, kRegion);
    base_ = space_.extents().front().base;
    space_.set_brk(base_ + (1 << 20), base_ + (1 << 20));
  }

  void step() {
    switch (random_() % 8) {
      case 0: map(false); break;
      case 1: map(true); break;
      case 2: unmap(); break;
      case 3: protect(); break;
      case 4: remap(); break;
      case 5: brk(); break;
      default: touch(); break;
    }
  }

  // Every page is in the areas exactly as it is here, the memory holds what was written, and no byte of an extent is unmapped.
  void check() {
    std::map<uint64_t, int> seen;
    uint64_t last = 0;
    for (const auto& [start, area] : space_.areas()) {
      ASSERT_GE(start, last);
      ASSERT_LT(start, area.end);
      ASSERT_TRUE(space_.contains(start, area.end - start));
      last = area.end;
      for (uint64_t a = start; a < area.end; a += kPage) seen[a] = area.prot;
    }
    ASSERT_EQ(seen.size(), pages_.size());
    ASSERT_EQ(space_.mapped_bytes(), pages_.size() * kPage);
    for (const auto& [at, page] : pages_) {
      ASSERT_TRUE(seen.contains(at)) << std::hex << at;
      ASSERT_EQ(seen[at], page.prot) << std::hex << at;
      ASSERT_TRUE(space_.allows(at, kPage, page.prot));
      if (page.prot & PROT_READ) {
        ASSERT_EQ(*reinterpret_cast<volatile uint8_t*>(at), page.tag) << std::hex << at;
      }
    }
    std::ifstream maps("/proc/self/maps");
    std::string line;
    std::map<uint64_t, uint64_t> mapped;
    while (std::getline(maps, line)) {
      uint64_t from = 0, to = 0;
      ASSERT_EQ(sscanf(line.c_str(), "%lx-%lx", &from, &to), 2);
      if (in_zone(from)) mapped[from] = to;
    }
    for (const Extent& e : space_.extents())
      for (uint64_t at = e.base; at < e.base + e.size;) {
        auto it = mapped.upper_bound(at);
        ASSERT_TRUE(it != mapped.begin() && std::prev(it)->second > at) << "a hole at " << std::hex << at;
        at = std::prev(it)->second;
      }
  }

 private:
  uint64_t some_page() {
    const Extent& e = space_.extents()[random_() % space_.extents().size()];
    return e.base + random_() % (e.size / kPage) * kPage;
  }
  uint64_t some_mapped_page() {
    if (pages_.empty()) return some_page();
    auto it = pages_.lower_bound(some_page());
    return it == pages_.end() ? pages_.begin()->first : it->first;
  }
  uint64_t some_size() { return (1 + random_() % (random_() % 4 ? 8 : 200)) * kPage - random_() % 100; }
  int some_prot() {
    const int all[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE};
    return all[random_() % 4];
  }
  bool inside(uint64_t at, uint64_t size) { return space_.contains(at, size); }
  bool all_mapped(uint64_t at, uint64_t size) {
    for (uint64_t a = at; a < at + size; a += kPage)
      if (!pages_.contains(a)) return false;
    return true;
  }
  void forget(uint64_t at, uint64_t size) { pages_.erase(pages_.lower_bound(at), pages_.lower_bound(at + size)); }

  void map(bool fixed) {
    const uint64_t size = some_size(), at = some_page(), whole = page_up(size);
    const int prot = some_prot();
    const bool replace = random_() % 2;
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | (fixed ? (replace ? MAP_FIXED : MAP_FIXED_NOREPLACE) : 0);
    const bool fits = inside(at, whole);
    bool taken = false;
    for (uint64_t a = at; a < at + whole; a += kPage) taken = taken || pages_.contains(a);
    const int64_t r = space_.map(fixed || random_() % 3 == 0 ? at : 0, size, prot, flags, -1, 0, nullptr);
    if (fixed && !fits) {
      ASSERT_EQ(r, -ENOMEM);
      return;
    }
    if (fixed && !replace && taken) {
      ASSERT_EQ(r, -EEXIST);
      return;
    }
    ASSERT_GT(r, 0);
    const auto got = static_cast<uint64_t>(r);
    if (fixed) {
      ASSERT_EQ(got, at);
    }
    ASSERT_TRUE(inside(got, whole));
    for (uint64_t a = got; a < got + whole; a += kPage) {
      ASSERT_TRUE(fixed || !pages_.contains(a)) << "given out twice: " << std::hex << a;
      pages_[a] = {prot, 0};
    }
  }
  void unmap() {
    const uint64_t size = some_size(), at = some_page();
    const bool fits = inside(at, page_up(size));
    ASSERT_EQ(space_.unmap(at, size), fits ? 0 : -EINVAL);
    if (fits) forget(at, page_up(size));
  }
  void protect() {
    const uint64_t size = some_size(), at = some_mapped_page();
    const int prot = some_prot();
    const bool whole = inside(at, page_up(size)) && all_mapped(at, page_up(size));
    ASSERT_EQ(space_.protect(at, size, prot), whole ? 0 : -ENOMEM);
    if (!whole) return;
    for (uint64_t a = at; a < at + page_up(size); a += kPage) pages_[a].prot = prot;
  }
  void remap() {
    const uint64_t old_size = page_up(some_size()), new_size = page_up(some_size()), at = some_mapped_page();
    const int flags = random_() % 4 ? MREMAP_MAYMOVE : 0;
    const int64_t r = space_.remap(at, old_size, new_size, flags, 0);
    if (r < 0) {  // the kernel cannot move what it holds as several mappings: nothing may have changed then
      ASSERT_TRUE(r == -EFAULT || r == -ENOMEM || r == -EINVAL) << r;
      return;
    }
    const auto got = static_cast<uint64_t>(r);
    if (new_size <= old_size) {
      ASSERT_EQ(got, at);
      return forget(at + new_size, old_size - new_size);
    }
    ASSERT_TRUE(all_mapped(at, old_size));
    std::vector<Page> moved;
    for (uint64_t a = at; a < at + old_size; a += kPage) moved.push_back(pages_[a]);
    forget(at, old_size);
    for (uint64_t i = 0; i < new_size / kPage; i++) {
      const uint64_t a = got + i * kPage;
      ASSERT_FALSE(pages_.contains(a)) << "moved over something else: " << std::hex << a;
      pages_[a] = i < moved.size() ? moved[i] : Page{moved.front().prot, 0};
    }
  }
  void brk() {
    const uint64_t start = space_.brk_start(), old = space_.brk_now();
    const uint64_t want = start + random_() % (2 << 20);
    const auto now = static_cast<uint64_t>(space_.brk(want));
    ASSERT_TRUE(now == want || now == old);
    ASSERT_EQ(now, space_.brk_now());
    if (now == old) return;
    if (page_up(now) > page_up(old))
      for (uint64_t a = page_up(old); a < page_up(now); a += kPage) {
        ASSERT_FALSE(pages_.contains(a));
        pages_[a] = {PROT_READ | PROT_WRITE, 0};
      }
    else forget(page_up(now), page_up(old) - page_up(now));
  }
  void touch() {
    auto it = pages_.find(some_mapped_page());
    if (it == pages_.end() || !(it->second.prot & PROT_WRITE)) return;
    it->second.tag = static_cast<uint8_t>(random_());
    *reinterpret_cast<volatile uint8_t*>(it->first) = it->second.tag;
  }

  std::mt19937_64 random_;
  AddressSpace space_;
  uint64_t base_ = 0;
  std::map<uint64_t, Page> pages_;
};

TEST(AddressSpace, DoesWhatAModelOfPagesDoes) {
  const uint64_t seed = seed_of_run();
  SCOPED_TRACE("DMI_TEST_SEED=" + std::to_string(seed));
  for (uint64_t run = 0; run < 8; run++) {
    Model model(seed + run);
    for (int step = 0; step < 2000; step++) {
      model.step();
      if (step % 50 == 49) model.check();
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST(AddressSpace, RefusesWhatIsNotItsOwn) {
  AddressSpace s;
  s.create(kZone, kRegion);
  const uint64_t base = s.extents().front().base, end = base + kRegion;
  EXPECT_EQ(s.map(base - kPage, kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0, nullptr), -ENOMEM);
  EXPECT_EQ(s.map(end - kPage, 2 * kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0, nullptr), -ENOMEM);
  EXPECT_EQ(s.map(0, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, nullptr), -EINVAL);
  EXPECT_EQ(s.map(0, ~0ull, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, nullptr), -ENOMEM);
  EXPECT_EQ(s.map(0, ~0ull - 2 * kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, nullptr), -ENOMEM);
  EXPECT_EQ(s.map(base + 1, kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0, nullptr), -EINVAL);
  EXPECT_EQ(s.unmap(base - kPage, kPage), -EINVAL);
  EXPECT_EQ(s.unmap(base, ~0ull - kPage), -EINVAL);
  EXPECT_EQ(s.unmap(base, 0), -EINVAL);
  EXPECT_EQ(s.protect(base, kPage, PROT_READ), -ENOMEM) << "a reservation is not a mapping";
  EXPECT_EQ(s.protect(base + kPage, ~0ull - 2 * kPage, PROT_READ), -ENOMEM);
  EXPECT_EQ(s.remap(base, kPage, kPage, 0, 0), -EFAULT);
  EXPECT_LT(s.remap(base, ~0ull, kPage, MREMAP_MAYMOVE, 0), 0);
  EXPECT_EQ(s.advise(base - kPage, kPage, MADV_DONTNEED), -ENOMEM);
  EXPECT_LT(s.advise(base, ~0ull, MADV_DONTNEED), 0);
  EXPECT_FALSE(s.allows(base, 1, PROT_NONE));
  EXPECT_FALSE(s.allows(~0ull - 1, 10, PROT_READ));
  EXPECT_EQ(s.mapped_bytes(), 0u);
}

TEST(AddressSpace, GrowsPastItsFirstReservation) {
  AddressSpace s;
  s.create(kZone, kRegion);
  std::map<uint64_t, uint8_t> got;
  for (int i = 0; i < 20; i++) {
    const int64_t r = s.map(0, kRegion / 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0, nullptr);
    ASSERT_GT(r, 0);
    got[static_cast<uint64_t>(r)] = static_cast<uint8_t>(i + 1);
    *reinterpret_cast<volatile uint8_t*>(r) = static_cast<uint8_t>(i + 1);
  }
  EXPECT_EQ(got.size(), 20u);
  for (const auto& [at, tag] : got) EXPECT_EQ(*reinterpret_cast<volatile uint8_t*>(at), tag);
  EXPECT_EQ(s.mapped_bytes(), 10 * kRegion);
}

// What /proc/self/smaps says of mappings in [start, end): how many there are, and how many may have huge pages.
struct Kinds { int mappings = 0, huge = 0; };
Kinds kinds(uint64_t start, uint64_t end) {
  std::ifstream smaps("/proc/self/smaps");
  Kinds k;
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    uint64_t from = 0, to = 0;
    if (sscanf(line.c_str(), "%lx-%lx ", &from, &to) == 2) inside = from < end && start < to, k.mappings += inside;
    else if (inside && line.starts_with("VmFlags:")) k.huge += line.find(" hg") != line.npos;
  }
  return k;
}

TEST(AddressSpace, LargeMemoryThatIsForWritingMayHaveHugePages) {
  AddressSpace s;
  s.create(kZone, 1 << 30);
  constexpr int kWrite = PROT_READ | PROT_WRITE, kPrivate = MAP_PRIVATE | MAP_ANONYMOUS;
  const auto map = [&](uint64_t size, int prot, int flags) { return static_cast<uint64_t>(s.map(0, size, prot, flags, -1, 0, nullptr)); };
  const uint64_t large = map(kHugeFrom, kWrite, kPrivate);
  const int huge = access("/sys/kernel/mm/transparent_hugepage", F_OK) == 0 ? 1 : 0;  // a kernel without them takes no advice
  EXPECT_EQ(kinds(large, large + kHugeFrom).huge, huge);
  EXPECT_EQ(kinds(large, large + kHugeFrom).mappings, 1);
  const auto none = [&](uint64_t at, uint64_t size) { return kinds(at, at + size).huge == 0; };
  EXPECT_TRUE(none(map(kHugeFrom - kPage, kWrite, kPrivate), kHugeFrom - kPage)) << "small";
  EXPECT_TRUE(none(map(kHugeFrom, PROT_NONE, kPrivate), kHugeFrom)) << "closed";
  EXPECT_TRUE(none(map(kHugeFrom, kWrite, kPrivate | MAP_NORESERVE), kHugeFrom)) << "for use here and there";

  // One that grows to be large where it is stays one mapping, and moves as one.
  const uint64_t base = s.extents().front().base;
  const auto at = static_cast<uint64_t>(s.map(base + (1 << 20), kHugeFrom / 2, kWrite, kPrivate, -1, 0, nullptr));
  ASSERT_EQ(at, base + (1 << 20));
  *reinterpret_cast<volatile char*>(at + kPage) = 'x';
  ASSERT_EQ(s.remap(at, kHugeFrom / 2, 2 * kHugeFrom, 0, 0), static_cast<int64_t>(at));
  EXPECT_EQ(kinds(at, at + 2 * kHugeFrom).mappings, 1);
  EXPECT_EQ(kinds(at, at + 2 * kHugeFrom).huge, huge);
  // Of one that the kernel has in two parts since a guest had it so.
  ASSERT_EQ(s.advise(at, kHugeFrom, MADV_NOHUGEPAGE), huge ? 0 : -EINVAL);
  ASSERT_GT(s.map(at + 2 * kHugeFrom, kPage, PROT_READ, kPrivate | MAP_FIXED, -1, 0, nullptr), 0);  // in the way
  const int64_t moved = s.remap(at, 2 * kHugeFrom, 3 * kHugeFrom, MREMAP_MAYMOVE, 0);
  ASSERT_GT(moved, 0);
  EXPECT_EQ(*reinterpret_cast<volatile char*>(static_cast<uint64_t>(moved) + kPage), 'x');

  s.set_brk(base + (200 << 20), base + (200 << 20));
  ASSERT_EQ(s.brk(base + (200 << 20) + kPage), static_cast<int64_t>(base + (200 << 20) + kPage));
  EXPECT_TRUE(none(base + (200 << 20), kPage));
  ASSERT_EQ(s.brk(base + (200 << 20) + kHugeFrom + kPage), static_cast<int64_t>(base + (200 << 20) + kHugeFrom + kPage));
  EXPECT_EQ(kinds(base + (200 << 20), base + (200 << 20) + kHugeFrom + kPage).huge, huge);
}

TEST(AddressSpace, SaysNoWhenItsZoneIsFull) {
  const Zone small{kElsewhere, kElsewhere + 2 * kRegion};
  AddressSpace s;
  s.create(small, kRegion);
  int mapped = 0;
  while (s.map(0, kRegion / 4, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, nullptr) > 0 && mapped < 100) mapped++;
  EXPECT_GE(mapped, 3);
  EXPECT_LE(mapped, 8);
  for (const Extent& e : s.extents()) {
    EXPECT_GE(e.base, small.low);
    EXPECT_LE(e.base + e.size, small.high);
  }
}

TEST(AddressSpace, GivesEverythingBack) {
  uint64_t base = 0;
  {
    AddressSpace s;
    s.create(kZone, kRegion);
    base = s.extents().front().base;
    ASSERT_EQ(reserve_at(base, kRegion), EEXIST);
  }
  ASSERT_EQ(reserve_at(base, kRegion), 0);
  munmap(reinterpret_cast<void*>(base), kRegion);
}

TEST(RandomAddress, StaysInItsZoneAndOnItsMultiples) {
  const Zone zone{kElsewhere + 3 * kPage, kElsewhere + (64ull << 20) + 5 * kPage};
  for (int i = 0; i < 50; i++) {
    const uint64_t at = reserve_random(zone, 1 << 20, 1 << 20);
    EXPECT_GE(at, zone.low);
    EXPECT_LE(at + (1 << 20), zone.high);
    EXPECT_EQ(at % (1 << 20), 0u);
    munmap(reinterpret_cast<void*>(at), 1 << 20);
  }
}

TEST(RandomAddress, PutsSixteenNearEachOtherWithRoomToDouble) {
  constexpr uint64_t kAlign = 2 << 20;  // no other test's: a group begins here
  std::vector<uint64_t> places;
  for (int i = 0; i < 17; i++) places.push_back(reserve_near(kWide, kAlign - kPage, kAlign));
  for (size_t i = 0; i < 17; i++) {
    EXPECT_EQ(places[i] % kAlign, 0u);
    if (i > 0 && i < 16) { EXPECT_EQ(places[i] - places[i - 1], 2 * kAlign) << i; }
    EXPECT_EQ(reserve_at(places[i] + kAlign - kPage, kAlign + kPage), 0) << i << " cannot grow";
    munmap(reinterpret_cast<void*>(places[i]), 2 * kAlign);
  }
  const uint64_t away = std::max(places[15], places[16]) - std::min(places[15], places[16]);
  EXPECT_GT(away, 32 * kAlign) << "drawn anew: as near as this once in 32,000 runs";
}

TEST(RandomAddress, TakesTheNextPlaceWhereOneIsTaken) {
  constexpr uint64_t kAlign = 4 << 20;
  const uint64_t first = reserve_near(kWide, kAlign, kAlign);
  ASSERT_EQ(reserve_at(first + 2 * kAlign, kPage), 0);  // somebody has come from another host
  EXPECT_EQ(reserve_near(kWide, kAlign, kAlign), first + 4 * kAlign);
  munmap(reinterpret_cast<void*>(first), 5 * kAlign);
}

TEST(RandomAddress, DrawsEachPlaceInAZoneOfFew) {
  constexpr uint64_t kAlign = 1 << 20;
  const Zone zone{kElsewhere, kElsewhere + 1000 * kAlign};
  int near = 0;
  uint64_t before = 0;
  for (int i = 0; i < 100; i++) {
    const uint64_t at = reserve_near(zone, kAlign, kAlign);
    near += at - before == 2 * kAlign;
    before = at;
    munmap(reinterpret_cast<void*>(at), kAlign);
  }
  EXPECT_LT(near, 10) << "by chance: one in a thousand each";
}

TEST(RandomAddress, FillsASmallZoneThenSaysSo) {
  const Zone zone{kElsewhere, kElsewhere + 4 * kRegion};
  std::map<uint64_t, int> taken;
  for (int i = 0; i < 4; i++) taken[reserve_random(zone, kRegion, kRegion)]++;
  EXPECT_EQ(taken.size(), 4u);
  try {
    reserve_random(zone, kRegion, kRegion);
    FAIL() << "a fifth place in a zone of four";
  } catch (const Error& e) {
    EXPECT_EQ(e.code, "no-address");
  }
  for (const auto& [at, n] : taken) munmap(reinterpret_cast<void*>(at), kRegion);
}

TEST(RandomAddress, AZoneTooSmallIsNamed) {
  EXPECT_THROW(reserve_random({kElsewhere, kElsewhere + kPage}, kRegion, kRegion), Error);
  EXPECT_EQ(round_up_power_of_two(1), kPage);
  EXPECT_EQ(round_up_power_of_two(kPage + 1), 2 * kPage);
  EXPECT_EQ(round_up_power_of_two(1ull << 40), 1ull << 40);
}

}  // namespace
}  // namespace dmi::host
