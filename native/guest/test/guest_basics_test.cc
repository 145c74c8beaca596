// libdmi's own logic: arguments, statuses, groups, blocks, pools, tables, random numbers.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "dmi_api.h"
#include "fake_gate.h"

struct Guest : testing::Test {
  void SetUp() override { fake::reset(); }
  int64_t map(int64_t page_size, int64_t pages) {
    int64_t addr = 0;
    EXPECT_TRUE(DMI_mmap(&addr, page_size, pages, nullptr));
    return addr;
  }
};

TEST_F(Guest, AccessRefusesBadArgumentsAndSaysWhy) {
  int64_t a = map(64, 4), x = 0;
  EXPECT_FALSE(DMI_read(a, -1, &x, DMI_GET, nullptr));
  EXPECT_EQ(errno, EINVAL);
  EXPECT_NE(std::string(DMI_error()).find("-1"), std::string::npos);
  EXPECT_FALSE(DMI_read(a, 8, nullptr, DMI_GET, nullptr));
  EXPECT_EQ(errno, EFAULT);
  EXPECT_FALSE(DMI_read(a, 8, &x, DMI_PUT, nullptr));
  EXPECT_FALSE(DMI_write(a, 8, &x, DMI_GET, nullptr));
  EXPECT_FALSE(DMI_read(INT64_MAX - 2, 8, &x, DMI_GET, nullptr));
  EXPECT_FALSE(DMI_read(a + 1000000, 8, &x, DMI_GET, nullptr));
  EXPECT_EQ(errno, EFAULT);
  EXPECT_STREQ(DMI_error(), "outside any mapping");
  EXPECT_TRUE(DMI_read(a, 0, nullptr, DMI_GET, nullptr));
  EXPECT_TRUE(DMI_write(a, 0, nullptr, DMI_PUT, nullptr));
  EXPECT_FALSE(DMI_mmap(&x, INT64_MAX, 2, nullptr));
  EXPECT_FALSE(DMI_mmap(nullptr, 8, 2, nullptr));
  EXPECT_FALSE(DMI_cas(a, 0, &x, &x, nullptr, DMI_PUT, nullptr));
}

TEST_F(Guest, AStatusIsBusyUntilItsCallIsDone) {
  int64_t a = map(64, 4), value = 7, got = 0;
  DMI_local_status_t s, other;
  memset(&s, 0xa5, sizeof s);  // stack garbage
  fake::set_delay(2);
  ASSERT_TRUE(DMI_write(a, 8, &value, DMI_PUT, &s));
  EXPECT_FALSE(DMI_read(a, 8, &got, DMI_GET, &s));
  EXPECT_EQ(errno, EBUSY);
  int32_t ret = -1;
  EXPECT_FALSE(DMI_check(&s, &ret));
  EXPECT_TRUE(DMI_check(&s, &ret));
  EXPECT_EQ(ret, TRUE);
  DMI_wait(&s, &ret);  // again, after the fact
  EXPECT_EQ(ret, TRUE);
  ASSERT_TRUE(DMI_read(a, 8, &got, DMI_GET, &s));
  ASSERT_TRUE(DMI_read(a + 999999, 8, &got, DMI_GET, &other));
  DMI_wait(&other, &ret);
  EXPECT_EQ(ret, FALSE);
  EXPECT_EQ(errno, EFAULT);
  DMI_wait(&s, &ret);
  EXPECT_EQ(got, 7);
  memset(&s, 0, sizeof s);
  DMI_wait(&s, &ret);  // never used
  EXPECT_EQ(ret, FALSE);
  EXPECT_EQ(errno, EINVAL);
}

TEST_F(Guest, ManyCallsInFlightKeepTheirResultsApart) {
  int64_t a = map(8, 1000);
  std::vector<DMI_local_status_t> s(1000);
  std::vector<int64_t> fetched(1000, -1);
  for (int i = 0; i < 1000; i++) ASSERT_TRUE(DMI_fad(a + 8 * (i % 10), 1, &fetched[i], DMI_PUT, &s[i]));
  for (int i = 999; i >= 0; i--) {
    int32_t ret;
    DMI_wait(&s[i], &ret);
    ASSERT_TRUE(ret);
    ASSERT_EQ(fetched[i], i / 10);
  }
}

TEST_F(Guest, GroupsJoinNeighboursAndKeepTheOrderOfOverlaps) {
  int64_t a = map(100, 10);
  std::vector<int64_t> addrs, offsets, sizes;
  for (int i = 9; i >= 0; i--) {  // descending, adjacent on both sides: one piece
    addrs.push_back(a + 8 * i);
    offsets.push_back(8 * i);
    sizes.push_back(8);
  }
  DMI_local_group_t g;
  ASSERT_TRUE(DMI_group_init(&g, addrs.data(), offsets.data(), sizes.data(), 10));
  int64_t from[10], to[10] = {};
  for (int i = 0; i < 10; i++) from[i] = 100 + i;
  ASSERT_TRUE(DMI_group_write(&g, from, DMI_PUT, nullptr));
  EXPECT_EQ(fake::counts().pieces, 1);
  ASSERT_TRUE(DMI_group_read(&g, to, DMI_GET, nullptr));
  for (int i = 0; i < 10; i++) EXPECT_EQ(to[i], 100 + i);
  ASSERT_TRUE(DMI_group_destroy(&g));
  EXPECT_FALSE(DMI_group_read(&g, to, DMI_GET, nullptr));

  int64_t same[] = {a + 8, a, a}, in[] = {0, 8, 16}, size[] = {8, 8, 8};
  ASSERT_TRUE(DMI_group_init(&g, same, in, size, 3));
  int64_t values[] = {1, 2, 3};
  ASSERT_TRUE(DMI_group_write(&g, values, DMI_PUT, nullptr));
  int64_t last;
  ASSERT_TRUE(DMI_read(a, 8, &last, DMI_GET, nullptr));
  EXPECT_EQ(last, 3);
  ASSERT_TRUE(DMI_group_destroy(&g));
  int64_t bad[] = {-5, a, a};
  EXPECT_FALSE(DMI_group_init(&g, bad, in, size, 3));
}

TEST_F(Guest, BlocksGrowShrinkAndAreFreedOnce) {
  for (int64_t page : {1, 8, 100, 4096}) {
    int64_t a, b;
    ASSERT_TRUE(DMI_malloc(&a, 1000, page));
    std::vector<char> text(1000, 'x'), back(3000);
    ASSERT_TRUE(DMI_write(a, 1000, text.data(), DMI_PUT, nullptr));
    ASSERT_TRUE(DMI_realloc(a, &b, 3000, page));
    ASSERT_TRUE(DMI_read(b, 3000, back.data(), DMI_GET, nullptr));
    EXPECT_EQ(std::string(back.data(), 1000), std::string(1000, 'x'));
    EXPECT_FALSE(DMI_free(a));
    EXPECT_FALSE(DMI_free(b + 8));
    EXPECT_TRUE(DMI_free(b));
    EXPECT_FALSE(DMI_free(b));
    EXPECT_TRUE(DMI_free(DMI_NULL));
    EXPECT_EQ(fake::mappings(), 0);
  }
  int64_t a;
  EXPECT_FALSE(DMI_malloc(&a, -1, 8));
  EXPECT_FALSE(DMI_malloc(&a, 8, 0));
  EXPECT_FALSE(DMI_malloc(&a, INT64_MAX, 8));
}

TEST_F(Guest, AnIdPoolGivesEachIdOnce) {
  int64_t p = map(sizeof(DMI_idpool_t), 1);
  ASSERT_TRUE(DMI_idpool_init(p, 5));
  EXPECT_FALSE(DMI_idpool_init(p, 5));
  EXPECT_EQ(errno, EEXIST);
  int32_t id, seen = 0;
  for (int i = 0; i < 5; i++) {
    ASSERT_TRUE(DMI_idpool_get(p, &id));
    seen |= 1 << id;
  }
  EXPECT_EQ(seen, 31);
  EXPECT_FALSE(DMI_idpool_get(p, &id));
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_TRUE(DMI_idpool_put(p, 3));
  EXPECT_FALSE(DMI_idpool_put(p, 3));
  EXPECT_FALSE(DMI_idpool_put(p, 5));
  EXPECT_TRUE(DMI_idpool_put(p, 1));
  int32_t a, b;
  ASSERT_TRUE(DMI_idpool_get(p, &a));
  ASSERT_TRUE(DMI_idpool_get(p, &b));
  EXPECT_EQ((1 << a) | (1 << b), (1 << 1) | (1 << 3));
  ASSERT_TRUE(DMI_idpool_destroy(p));
  EXPECT_FALSE(DMI_idpool_get(p, &id));
  EXPECT_EQ(fake::mappings(), 1);
}

TEST_F(Guest, ASchedulerNamesThreadsBeyondItsFirstChunk) {
  int64_t s = map(sizeof(DMI_scheduler_t), 1);
  ASSERT_TRUE(DMI_scheduler_init(s));
  for (int i = 0; i < 300; i++) {
    int32_t id;
    ASSERT_TRUE(DMI_scheduler_create(s, &id, i));
    EXPECT_EQ(id, i);
  }
  for (int i = 299; i >= 0; i--) {
    int64_t result;
    ASSERT_TRUE(DMI_scheduler_join(s, i, &result));
    EXPECT_EQ(result, 101 + i);  // the fake gives a thread's number
  }
  EXPECT_FALSE(DMI_scheduler_join(s, 5, nullptr));
  EXPECT_EQ(errno, ESRCH);
  EXPECT_FALSE(DMI_scheduler_join(s, 300, nullptr));
  EXPECT_FALSE(DMI_scheduler_join(s, -1, nullptr));
  ASSERT_TRUE(DMI_scheduler_destroy(s));
  EXPECT_EQ(fake::mappings(), 1);
}

TEST_F(Guest, ObjectsHaveIdsAndChangeTheirSize) {
  int32_t ids[3];
  int64_t sizes[] = {8, 100, 1}, size;
  ASSERT_TRUE(DMI_new_object(ids, sizes, 3, nullptr));
  int64_t x = 42, y = 43, z = 0;
  ASSERT_TRUE(DMI_write_object(ids[0], 0, 8, &x, DMI_PUT, nullptr));
  ASSERT_TRUE(DMI_setsize_object(ids[0], 16, DMI_PUT, nullptr));
  EXPECT_FALSE(DMI_write_object(ids[0], 9, 8, &x, DMI_PUT, nullptr));
  ASSERT_TRUE(DMI_write_object(ids[0], 8, 8, &y, DMI_PUT, nullptr));
  ASSERT_TRUE(DMI_read_object(ids[0], 0, 8, &z, DMI_GET, nullptr));
  EXPECT_EQ(z, 42);
  ASSERT_TRUE(DMI_getsize_object(ids[0], &size, DMI_GET, nullptr));
  EXPECT_EQ(size, 16);
  int64_t offsets[] = {8, 0}, pieces[] = {8, 8}, places[] = {0, 8}, both[2];
  ASSERT_TRUE(DMI_gread_object(ids[0], offsets, pieces, places, 2, both, DMI_GET, nullptr));
  EXPECT_EQ(both[0], 43);
  EXPECT_EQ(both[1], 42);
  ASSERT_TRUE(DMI_delete_object(ids, 3, nullptr));
  EXPECT_FALSE(DMI_read_object(ids[0], 0, 8, &z, DMI_GET, nullptr));
  EXPECT_EQ(errno, ENOENT);
  EXPECT_FALSE(DMI_delete_object(ids, 1, nullptr));
  EXPECT_FALSE(DMI_getsize_object(-1, &size, DMI_GET, nullptr));
}

TEST_F(Guest, MutexesAndBarriersKnowTheirState) {
  int64_t m = map(sizeof(DMI_mutex_t), 1);
  int32_t got;
  ASSERT_TRUE(DMI_mutex_init(m));
  EXPECT_FALSE(DMI_mutex_init(m));
  EXPECT_TRUE(DMI_mutex_lock(m));
  EXPECT_TRUE(DMI_mutex_trylock(m, &got));
  EXPECT_FALSE(got);
  EXPECT_FALSE(DMI_mutex_destroy(m));
  EXPECT_TRUE(DMI_mutex_unlock(m));
  EXPECT_FALSE(DMI_mutex_unlock(m));
  EXPECT_TRUE(DMI_mutex_destroy(m));
  EXPECT_TRUE(DMI_mutex_init(m));
  DMI_local_barrier_t b;
  memset(&b, 0, sizeof b);
  EXPECT_FALSE(DMI_local_barrier_sync(&b, 1));
  EXPECT_TRUE(DMI_local_barrier_init(&b, m));
  EXPECT_TRUE(DMI_local_barrier_sync(&b, 1));
  EXPECT_FALSE(DMI_local_barrier_sync(&b, 0));
  double x = 1, y;
  EXPECT_FALSE(DMI_local_barrier_allreduce(&b, 1, &x, &y, 7, DMI_TYPE_DOUBLE));
}

// The generator as the interface page describes it, written once more.
struct Reference {
  uint64_t x[521];
  int c = 0, d = 521;
  Reference(uint64_t seed, uint64_t addend) {
    x[0] = 645 * seed;
    for (int i = 1; i < 521; i++) x[i] = 645 * x[i - 1] + addend;
  }
  double next() {
    x[c] ^= x[d - 32];
    double r = static_cast<double>(x[c]) * 0x1p-64;
    c = c + 1 == 521 ? 0 : c + 1;
    d = d + 1 == 553 ? 32 : d + 1;
    return r;
  }
};

TEST_F(Guest, MrandIsBitExact) {
  Reference untouched(137, 0), seeded(2026, 1234567);
  for (int i = 0; i < 2000; i++) ASSERT_EQ(mrand_01(), untouched.next());
  mrand_init(2026);
  for (int i = 0; i < 2000; i++) ASSERT_EQ(mrand_01(), seeded.next());
  std::vector<int8_t> saved(DMI_MRAND_BYTES);
  mrand_snapshot(saved.data());
  int64_t first = mrand_int(-5, 5);
  EXPECT_EQ(first, -5 + static_cast<int64_t>(seeded.next() * 11));
  for (int i = 0; i < 777; i++) mrand_01();
  mrand_resume(saved.data());
  EXPECT_EQ(mrand_int(-5, 5), first);
}

TEST_F(Guest, TypesFitTheOriginalsSizes) {
  EXPECT_EQ(sizeof(DMI_node_t), 152u);
  EXPECT_EQ(sizeof(DMI_thread_t), 8u);
  EXPECT_LE(sizeof(DMI_mutex_t), 32u);
  EXPECT_LE(sizeof(DMI_cond_t), 24u);
  EXPECT_LE(sizeof(DMI_spinlock_t), 1u);
  EXPECT_LE(sizeof(DMI_barrier_t), 32u);
  EXPECT_LE(sizeof(DMI_rwset_t), 40u);
  EXPECT_LE(sizeof(DMI_rwset2_t), 56u);
  EXPECT_LE(sizeof(DMI_idpool_t), 32u);
  EXPECT_LE(sizeof(DMI_scheduler_t), 88u);
  EXPECT_LE(sizeof(DMI_local_barrier_t), 32u);
  EXPECT_LE(sizeof(DMI_local_rwset_t), 88u);
  EXPECT_LE(sizeof(DMI_local_rwset2_t), 112u);
  EXPECT_LE(sizeof(DMI_local_status_t), 16u);
  EXPECT_LE(sizeof(DMI_local_group_t), 72u);
}
