// A Member on real sockets does what the engine promises.
#include "member_cluster.h"

namespace dmi::memory {
namespace {

TEST(MemberBasic, ReadsWhatAnotherMemberWrote) {
  Cluster cluster;
  auto a = cluster.at(cluster.add()), b = cluster.at(cluster.add());
  const auto addr = mmap(*a, 4096, 64);
  std::vector<int64_t> data(64 * 512), got(data.size());
  for (size_t i = 0; i < data.size(); i++) data[i] = static_cast<int64_t>(i * i);
  write(*a, addr, data.data(), static_cast<int64_t>(data.size() * 8));
  read(*b, addr, got.data(), static_cast<int64_t>(got.size() * 8));
  EXPECT_EQ(got, data);
  for (const auto mode : {Mode::Invalidate, Mode::Update}) {
    std::fill(got.begin(), got.end(), 0);
    read(*b, addr, got.data(), static_cast<int64_t>(got.size() * 8), mode);
    EXPECT_EQ(got, data);
  }
}

TEST(MemberBasic, MovesLargePagesBothWays) {
  Cluster cluster;
  auto a = cluster.at(cluster.add()), b = cluster.at(cluster.add());
  const int64_t size = 4 << 20;
  const auto addr = mmap(*a, size, 4);
  std::vector<char> data(static_cast<size_t>(size)), got(data.size());
  for (size_t i = 0; i < data.size(); i++) data[i] = static_cast<char>(i * 2654435761u >> 13);
  for (int page = 0; page < 4; page++) {
    write(*b, addr + page * size, data.data(), size, page % 2 ? Mode::Put : Mode::Exclusive);
    read(*a, addr + page * size, got.data(), size);
    EXPECT_TRUE(got == data) << page;
  }
}

TEST(MemberBasic, FetchAndAddIsExactFromAllMembers) {
  Cluster cluster;
  std::vector<std::shared_ptr<Member>> members;
  for (int i = 0; i < 4; i++) members.push_back(cluster.at(cluster.add()));
  const auto addr = mmap(*members[0], 8, 16);
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; t++)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; i++) fetch_add(*members[static_cast<size_t>(t % 4)], addr + i % 16 * 8, 1);
    });
  for (auto& t : threads) t.join();
  int64_t sum = 0;
  for (int i = 0; i < 16; i++) sum += fetch_add(*members[3], addr + i * 8, 0);
  EXPECT_EQ(sum, 8 * 500);
}

TEST(MemberBasic, AMutexProtectsAndABarrierGathers) {
  Cluster cluster;
  auto a = cluster.at(cluster.add()), b = cluster.at(cluster.add());
  const auto addr = mmap(*a, 64, 4);
  std::vector<std::thread> threads;
  for (uint64_t t = 1; t <= 4; t++)
    threads.emplace_back([&, t] {
      auto& m = t % 2 ? *a : *b;
      for (int i = 0; i < 200; i++) {
        sync(m, OpKind::MutexLock, addr + 64, t);
        int64_t value = 0;
        read(m, addr, &value, 8);
        value++;
        write(m, addr, &value, 8);
        sync(m, OpKind::MutexUnlock, addr + 64, t);
      }
      for (int i = 0; i < 50; i++) sync(m, OpKind::Barrier, addr + 128, t, 4);
    });
  for (auto& t : threads) t.join();
  int64_t value = 0;
  read(*b, addr, &value, 8);
  EXPECT_EQ(value, 800);
}

TEST(MemberBasic, ALiteMemberUsesMemoryWithoutOwningAny) {
  Cluster cluster;
  cluster.add();
  auto lite = cluster.at(cluster.add(MemberState::Lite));
  const auto addr = mmap(*lite, 4096, 4);
  const int64_t value = 42;
  write(*lite, addr + 4096, &value, 8);
  int64_t got = 0;
  read(*lite, addr + 4096, &got, 8);
  EXPECT_EQ(got, 42);
  EXPECT_EQ(lite->stats().pages_owned, 0);
}

TEST(MemberBasic, ApplicationMessagesArriveInOrderAlsoAtOneself) {
  std::mutex mutex;
  std::vector<std::string> got;
  MemberCallbacks callbacks;
  callbacks.app = [&](MemberId from, std::span<const std::byte> bytes) {
    std::lock_guard lock(mutex);
    got.push_back(std::to_string(from) + ":" + std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  };
  Cluster cluster;
  const auto a = cluster.add(), b = cluster.add(MemberState::Active, callbacks);
  for (const char* text : {"one", "two", "three"}) cluster.at(a)->send_app(b, std::as_bytes(std::span(text, strlen(text))));
  const auto count = [&] {
    std::lock_guard lock(mutex);
    return got.size();
  };
  while (count() < 3) std::this_thread::yield();
  cluster.at(b)->send_app(b, std::as_bytes(std::span("me", 2)));
  while (count() < 4) std::this_thread::yield();
  EXPECT_EQ(got, (std::vector<std::string>{"1:one", "1:two", "1:three", "2:me"}));
}

TEST(MemberBasic, ADrainedMemberLeavesNothingBehind) {
  Cluster cluster;
  const auto first = cluster.add(), second = cluster.add();
  const auto addr = mmap(*cluster.at(second), 4096, 32);
  std::vector<int64_t> data(32 * 512, 7), got(data.size());
  write(*cluster.at(second), addr, data.data(), 32 * 4096, Mode::Exclusive);
  sync(*cluster.at(second), OpKind::MutexLock, addr, 99);
  cluster.remove(second);
  read(*cluster.at(first), addr, got.data(), 32 * 4096);
  EXPECT_EQ(got, data);
  sync(*cluster.at(first), OpKind::MutexUnlock, addr, 99);
}

}  // namespace
}  // namespace dmi::memory
