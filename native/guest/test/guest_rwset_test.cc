// Read-write-sets over plain memory: what is exchanged, and how little.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "dmi_api.h"
#include "fake_gate.h"

namespace {

// A random decomposition: every element is written by one domain (rwset) or some (rwset2), each domain reads a random set.
struct Case {
  int64_t elements, size;
  int domains;
  std::vector<std::vector<int64_t>> writes, reads;

  Case(unsigned seed, int64_t elements, int64_t size, int domains) : elements(elements), size(size), domains(domains) {
    std::mt19937 random(seed);
    writes.resize(domains);
    reads.resize(domains);
    std::vector<int64_t> all(elements);
    for (int64_t e = 0; e < elements; e++) all[e] = e;
    std::shuffle(all.begin(), all.end(), random);
    for (int64_t i = 0; i < elements; i++) writes[i * domains / elements].push_back(all[i]);
    for (int d = 0; d < domains; d++) {
      std::shuffle(all.begin(), all.end(), random);
      reads[d].assign(all.begin(), all.begin() + static_cast<int64_t>(random() % (elements / 2 + 1)));
    }
  }
  // What element e holds after round r.
  char byte(int64_t e, int64_t at, int round) const { return static_cast<char>(e * 31 + at * 7 + round * 101 + 5); }
  std::vector<char> written(int d, int round) const {
    std::vector<char> buf;
    for (int64_t e : writes[d])
      for (int64_t at = 0; at < size; at++) buf.push_back(byte(e, at, round));
    return buf;
  }
  std::vector<char> expected(int d, int round) const {
    std::vector<char> buf;
    for (int64_t e : reads[d])
      for (int64_t at = 0; at < size; at++) buf.push_back(byte(e, at, round));
    return buf;
  }
  int64_t payload() const {  // bytes read from other domains
    int64_t n = 0;
    for (int d = 0; d < domains; d++)
      for (int64_t e : reads[d]) n += std::find(writes[d].begin(), writes[d].end(), e) == writes[d].end();
    return n * size;
  }
};

struct Set {
  const Case& c;
  int64_t addr = 0;
  std::vector<DMI_local_rwset_t> local;

  explicit Set(const Case& c) : c(c), local(c.domains) {
    EXPECT_TRUE(DMI_mmap(&addr, sizeof(DMI_rwset_t), 1, nullptr));
    EXPECT_TRUE(DMI_rwset_init(addr, c.elements, c.size, c.domains));
    for (int d = 0; d < c.domains; d++)
      EXPECT_TRUE(DMI_rwset_decompose(addr, d, c.writes[d].data(), static_cast<int>(c.writes[d].size()))) << DMI_error();
  }
  void init(int d) {
    EXPECT_TRUE(DMI_local_rwset_init(&local[d], addr, d, c.reads[d].data(), static_cast<int>(c.reads[d].size())))
        << DMI_error();
  }
  void write(int d, int round, DMI_local_status_t* status = nullptr) {
    static std::vector<char> buf;  // outlives an asynchronous call, which the fake runs at once
    buf = c.written(d, round);
    EXPECT_TRUE(DMI_local_rwset_write(&local[d], buf.data(), status)) << DMI_error();
  }
  void expect(int d, int round) {
    auto want = c.expected(d, round);
    std::vector<char> got(want.size() + 1, 'z');
    EXPECT_TRUE(DMI_local_rwset_read(&local[d], got.data(), nullptr)) << DMI_error();
    got.pop_back();
    EXPECT_EQ(got, want) << "domain " << d << " round " << round;
  }
  ~Set() {
    for (auto& l : local) EXPECT_TRUE(DMI_local_rwset_destroy(&l));
    EXPECT_TRUE(DMI_rwset_destroy(addr));
    EXPECT_TRUE(DMI_munmap(addr, nullptr));
    EXPECT_EQ(fake::mappings(), 0);
  }
};

TEST(Rwset, EveryReaderGetsWhatTheWritersPublished) {
  for (unsigned seed = 0; seed < 40; seed++) {
    fake::reset();
    fake::set_fast(seed % 2);
    Case c(seed, 10 + 37 * (seed % 9), 1 + 5 * (seed % 6), 1 + static_cast<int>(seed % 8));
    Set s(c);
    for (int d = 0; d < c.domains; d++) s.init(d);
    for (int round = 0; round < 4; round++) {
      for (int d = 0; d < c.domains; d++) s.write(d, round);
      for (int d = 0; d < c.domains; d++) s.expect(d, round);
    }
  }
}

TEST(Rwset, AReaderThatComesLateSeesTheLastWrite) {
  fake::reset();
  Case c(7, 300, 8, 4);
  Set s(c);
  for (int d = 0; d < 3; d++) s.init(d);
  for (int d = 0; d < 3; d++) s.write(d, 1);
  DMI_local_rwset_t only_writes;
  ASSERT_TRUE(DMI_local_rwset_init(&only_writes, s.addr, 3, nullptr, 0));
  auto buf = c.written(3, 1);
  ASSERT_TRUE(DMI_local_rwset_write(&only_writes, buf.data(), nullptr));
  s.init(3);
  for (int d = 0; d < 4; d++) s.expect(d, 1);  // before anybody wrote again
  for (int d = 0; d < 4; d++) s.write(d, 2);
  for (int d = 0; d < 4; d++) s.expect(d, 2);
  ASSERT_TRUE(DMI_local_rwset_destroy(&only_writes));
}

TEST(Rwset, AnExchangeMovesThePayloadAndLittleElse) {
  fake::reset();
  Case c(3, 4000, 8, 8);
  Set s(c);
  for (int d = 0; d < c.domains; d++) s.init(d);
  for (int round = 0; round < 2; round++) {
    for (int d = 0; d < c.domains; d++) s.write(d, round);
    for (int d = 0; d < c.domains; d++) s.expect(d, round);
  }
  for (int d = 0; d < c.domains; d++) s.write(d, 2);
  fake::counts() = {};
  int64_t own = 0;  // elements a domain reads of itself stay in its process, piece by piece
  for (int d = 0; d < c.domains; d++) {
    s.expect(d, 2);
    for (int64_t e : c.reads[d]) own += std::count(c.writes[d].begin(), c.writes[d].end(), e);
  }
  int64_t moved = fake::counts().read_bytes - own * c.size;
  int64_t named = (fake::counts().pieces - own) * 24;
  EXPECT_LE(fake::counts().pieces - own, c.domains * (c.domains - 1));
  EXPECT_LE(moved + named, 1.1 * static_cast<double>(c.payload()));
}

TEST(Rwset, AsynchronousCallsDoNotMixTheirBuffers) {
  fake::reset();
  fake::set_delay(1);
  Case c(11, 200, 24, 3);
  Set s(c);
  for (int d = 0; d < 3; d++) s.init(d);
  for (int round = 0; round < 3; round++) {
    for (int d = 0; d < 3; d++) {
      DMI_local_status_t status, second;
      int32_t ret;
      s.write(d, round, &status);
      auto buf = c.written(d, round);
      EXPECT_FALSE(DMI_local_rwset_write(&s.local[d], buf.data(), &second));
      EXPECT_EQ(errno, EBUSY);
      EXPECT_FALSE(DMI_local_rwset_destroy(&s.local[d]));
      DMI_wait(&status, &ret);
      EXPECT_TRUE(ret);
    }
    auto want = c.expected(0, round);
    std::vector<char> a(want.size()), b(want.size());
    DMI_local_status_t sa, sb;
    int32_t ret;
    ASSERT_TRUE(DMI_local_rwset_read(&s.local[0], a.data(), &sa));
    ASSERT_TRUE(DMI_local_rwset_read(&s.local[0], b.data(), &sb));
    DMI_wait(&sb, &ret);
    EXPECT_EQ(b, want);
    DMI_wait(&sa, &ret);
    EXPECT_EQ(a, want);
  }
}

TEST(Rwset, MistakesAreNamed) {
  fake::reset();
  int64_t a;
  ASSERT_TRUE(DMI_mmap(&a, sizeof(DMI_rwset_t), 1, nullptr));
  EXPECT_FALSE(DMI_rwset_decompose(a, 0, nullptr, 0));
  EXPECT_FALSE(DMI_rwset_init(a, 0, 8, 2));
  ASSERT_TRUE(DMI_rwset_init(a, 10, 8, 2));
  EXPECT_FALSE(DMI_rwset_init(a, 10, 8, 2));
  EXPECT_EQ(errno, EEXIST);
  int64_t elements[] = {1, 2, 10};
  EXPECT_FALSE(DMI_rwset_decompose(a, 0, elements, 3));
  EXPECT_FALSE(DMI_rwset_decompose(a, 2, elements, 2));
  int64_t twice[] = {1, 1};
  EXPECT_FALSE(DMI_rwset_decompose(a, 0, twice, 2));
  ASSERT_TRUE(DMI_rwset_decompose(a, 0, elements, 2));
  EXPECT_FALSE(DMI_rwset_decompose(a, 0, elements, 2));
  EXPECT_FALSE(DMI_rwset_decompose(a, 1, elements, 1));  // element 1 is domain 0's
  EXPECT_EQ(errno, EEXIST);
  int64_t others[] = {3, 4};
  ASSERT_TRUE(DMI_rwset_decompose(a, 1, others, 2));
  DMI_local_rwset_t l;
  int64_t nobodys[] = {1, 9};
  EXPECT_FALSE(DMI_local_rwset_init(&l, a, 0, nobodys, 2));
  EXPECT_EQ(errno, EINVAL);
  EXPECT_NE(std::string(DMI_error()).find("element 9"), std::string::npos);
  ASSERT_TRUE(DMI_rwset_destroy(a));
  EXPECT_EQ(fake::mappings(), 1);
}

TEST(Rwset2, SeveralWritersAndContiguousReads) {
  for (unsigned seed = 0; seed < 20; seed++) {
    fake::reset();
    fake::set_fast(seed % 2);
    Case c(seed, 20 + 50 * (seed % 5), 1 + 7 * (seed % 4), 1 + static_cast<int>(seed % 6));
    int64_t addr;
    ASSERT_TRUE(DMI_mmap(&addr, sizeof(DMI_rwset2_t), 1, nullptr));
    ASSERT_TRUE(DMI_rwset2_init(addr, c.elements, c.size, c.domains));
    // Domain 0 also writes everything domain 1 does; the last writer wins.
    if (c.domains > 1) c.writes[0].insert(c.writes[0].end(), c.writes[1].begin(), c.writes[1].end());
    std::vector<DMI_local_rwset2_t> local(c.domains);
    for (int d = 0; d < c.domains; d++)
      ASSERT_TRUE(DMI_rwset2_decompose(addr, d, c.writes[d].data(), static_cast<int>(c.writes[d].size()), c.reads[d].data(),
                                       static_cast<int>(c.reads[d].size())));
    for (int d = 0; d < c.domains; d++) ASSERT_TRUE(DMI_local_rwset2_init(&local[d], addr, d)) << DMI_error();
    for (int round = 0; round < 3; round++) {
      for (int d = c.domains - 1; d >= 0; d--) {
        auto buf = c.written(d, d == 0 ? round + 50 : round);
        ASSERT_TRUE(DMI_local_rwset2_write(&local[d], buf.data(), nullptr));
      }
      for (int d = 0; d < c.domains; d++) {
        std::vector<char> want, got(c.reads[d].size() * c.size);
        for (int64_t e : c.reads[d]) {
          bool first = std::count(c.writes[0].begin(), c.writes[0].end(), e) > 0;
          for (int64_t at = 0; at < c.size; at++) want.push_back(c.byte(e, at, first ? round + 50 : round));
        }
        ASSERT_TRUE(DMI_local_rwset2_read(&local[d], got.data(), nullptr));
        ASSERT_EQ(got, want);
      }
    }
    for (auto& l : local) ASSERT_TRUE(DMI_local_rwset2_destroy(&l));
    ASSERT_TRUE(DMI_rwset2_destroy(addr));
    ASSERT_EQ(fake::mappings(), 1);
  }
}

}  // namespace
