// Threads hammer memory, locks and barriers of many members over real sockets while members join and drain; at the end
// every total is exact.
#include <random>

#include "member_cluster.h"

namespace dmi::memory {
namespace {

// Picks a member that is in the job and not leaving; keeps it alive while it is used.
class Crowd {
 public:
  void put(MemberId id, std::shared_ptr<Member> member) {
    std::lock_guard lock(mutex_);
    members_[id] = std::move(member);
  }
  void take(MemberId id) {
    std::weak_ptr<Member> left;
    {
      std::lock_guard lock(mutex_);
      left = members_[id];
      members_.erase(id);
    }
    // The cluster's own reference stays.
    while (left.use_count() > 1) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  std::shared_ptr<Member> pick(uint32_t random) {
    std::lock_guard lock(mutex_);
    return std::next(members_.begin(), static_cast<long>(random % members_.size()))->second;
  }

 private:
  std::mutex mutex_;
  std::map<MemberId, std::shared_ptr<Member>> members_;
};

TEST(MemberHammer, TotalsAreExactWhileMembersJoinAndDrain) {
  constexpr int kThreads = 6, kCounters = 24;
  const double seconds = getenv("DMI_HAMMER_SECONDS") ? atof(getenv("DMI_HAMMER_SECONDS")) : 4;
  Cluster cluster;
  Crowd crowd;
  std::vector<MemberId> ids;
  for (int i = 0; i < 3; i++) {
    ids.push_back(cluster.add());
    crowd.put(ids.back(), cluster.at(ids.back()));
  }
  auto first = cluster.at(ids[0]);
  const auto counters = mmap(*first, 64, kCounters);       // fetch-and-add
  const auto guarded = mmap(*first, 128, kCounters);       // read and write under a mutex
  const auto blocks = mmap(*first, 4096, 8);               // whole pages, every word the same
  const auto barrier = mmap(*first, 64, 1);

  first.reset();

  std::atomic<bool> stop{false};
  std::atomic<int64_t> added{0}, locked{0};
  std::vector<std::thread> threads;
  for (uint64_t t = 1; t <= kThreads; t++)
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<uint32_t>(t));
      std::vector<int64_t> page(512);
      while (!stop) {
        auto m = crowd.pick(random());
        const auto which = static_cast<GlobalAddr>(random() % kCounters);
        switch (random() % 4) {
          case 0:
          case 1:
            fetch_add(*m, counters + which * 64, 1);
            added++;
            break;
          case 2: {
            const auto addr = guarded + which * 128;
            sync(*m, OpKind::MutexLock, addr + 64, t);
            int64_t value = 0;
            read(*m, addr, &value, 8, random() % 2 ? Mode::Invalidate : Mode::Get);
            value++;
            write(*m, addr, &value, 8, random() % 2 ? Mode::Exclusive : Mode::Put);
            sync(*m, OpKind::MutexUnlock, addr + 64, t);
            locked++;
            break;
          }
          default: {
            const auto addr = blocks + static_cast<GlobalAddr>(random() % 8) * 4096;
            if (random() % 2) {
              std::fill(page.begin(), page.end(), static_cast<int64_t>(random()));
              write(*m, addr, page.data(), 4096, random() % 2 ? Mode::Exclusive : Mode::Put);
            } else {
              const Mode modes[] = {Mode::Get, Mode::Invalidate, Mode::Update};
              read(*m, addr, page.data(), 4096, modes[random() % 3]);
              for (const auto word : page) ASSERT_EQ(word, page[0]) << "a torn page";
            }
          }
        }
      }
    });

  int joins = 0, drains = 0;
  std::mt19937 random(99);
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
    if (ids.size() < 3 || (ids.size() < 6 && random() % 2)) {
      ids.push_back(cluster.add());
      crowd.put(ids.back(), cluster.at(ids.back()));
      joins++;
    } else {
      const size_t i = random() % ids.size();
      const auto id = ids[i];
      ids.erase(ids.begin() + static_cast<long>(i));
      crowd.take(id);
      cluster.remove(id);
      drains++;
    }
  }
  stop = true;
  for (auto& t : threads) t.join();

  auto last = cluster.at(ids[0]);
  int64_t sum = 0, guarded_sum = 0;
  for (int i = 0; i < kCounters; i++) {
    sum += fetch_add(*last, counters + i * 64, 0);
    int64_t value = 0;
    read(*last, guarded + i * 128, &value, 8);
    guarded_sum += value;
  }
  EXPECT_EQ(sum, added);
  EXPECT_EQ(guarded_sum, locked);
  EXPECT_GT(joins + drains, 3);
  printf("%lld additions, %lld under locks, %d joins, %d drains\n", static_cast<long long>(added),
         static_cast<long long>(locked), joins, drains);

  std::vector<std::thread> gathered;
  for (uint64_t t = 1; t <= kThreads; t++)
    gathered.emplace_back([&, t] {
      for (int i = 0; i < 30; i++) sync(*cluster.at(ids[t % ids.size()]), OpKind::Barrier, barrier, t, kThreads);
    });
  for (auto& t : gathered) t.join();
}

}  // namespace
}  // namespace dmi::memory
