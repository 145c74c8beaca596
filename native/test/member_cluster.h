// Members of one job in one process over real sockets, and blocking calls on them; for member_*_test.cc.
#pragma once
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>

#include "memory/member.h"

namespace dmi::memory {

// What a thread waits on for an operation that submit() left pending.
struct Pending {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
};

inline MemberCallbacks with_done(MemberCallbacks callbacks = {}) {
  callbacks.done = [](Op* op) {
    auto* pending = static_cast<Pending*>(op->user);
    std::lock_guard lock(pending->mutex);
    pending->done = true;
    pending->changed.notify_all();
  };
  if (!callbacks.log)
    callbacks.log = [](int level, std::string_view line) {
      if (level >= 40 && getenv("DMI_TEST_LOG")) fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
    };
  return callbacks;
}

// Runs an operation to its end. True: no error.
inline bool run(Member& member, Op& op) {
  Pending pending;
  op.user = &pending;
  if (!member.submit(&op)) {
    for (int i = 0; i < 20; i++) {
      {
        std::lock_guard lock(pending.mutex);
        if (pending.done) return op.error == 0;
      }
      member.poll(20);
    }
    std::unique_lock lock(pending.mutex);
    pending.changed.wait(lock, [&] { return pending.done; });
  }
  return op.error == 0;
}

inline GlobalAddr mmap(Member& m, int64_t page_size, int64_t count) {
  Op op;
  op.kind = OpKind::Mmap;
  op.size = page_size;
  op.value = count;
  EXPECT_TRUE(run(m, op)) << op.message;
  return op.value;
}
inline bool read(Member& m, GlobalAddr addr, void* to, int64_t size, Mode mode = Mode::Get) {
  const Piece piece{addr, size, static_cast<std::byte*>(to)};
  Op op;
  op.kind = OpKind::Read;
  op.mode = mode;
  op.pieces = {&piece, 1};
  const bool ok = run(m, op);
  EXPECT_TRUE(ok) << op.message;
  return ok;
}
inline bool write(Member& m, GlobalAddr addr, const void* from, int64_t size, Mode mode = Mode::Put) {
  const Piece piece{addr, size, static_cast<std::byte*>(const_cast<void*>(from))};
  Op op;
  op.kind = OpKind::Write;
  op.mode = mode;
  op.pieces = {&piece, 1};
  const bool ok = run(m, op);
  EXPECT_TRUE(ok) << op.message;
  return ok;
}
inline int64_t fetch_add(Member& m, GlobalAddr addr, int64_t add) {
  Op op;
  op.kind = OpKind::Fad;
  op.mode = Mode::Put;
  op.addr = addr;
  op.size = 8;
  op.value = add;
  EXPECT_TRUE(run(m, op)) << op.message;
  return op.value;
}
inline bool sync(Member& m, OpKind kind, GlobalAddr addr, ThreadKey thread, int32_t pnum = 0) {
  Op op;
  op.kind = kind;
  op.addr = addr;
  op.thread = thread;
  op.pnum = pnum;
  Pending pending;
  op.user = &pending;
  if (!m.submit(&op)) {
    m.flush();
    std::unique_lock lock(pending.mutex);
    pending.changed.wait(lock, [&] { return pending.done; });
  }
  EXPECT_EQ(op.error, 0) << op.message;
  return op.error == 0;
}

// The members of one job and the coordinator's view of them.
class Cluster {
 public:
  explicit Cluster(int64_t pool = 64 << 20) : pool_(pool) {}
  ~Cluster() {
    // All at once would have the last one talk to the dead.
    members_.clear();
  }

  MemberId add(MemberState state = MemberState::Active, MemberCallbacks callbacks = {}) {
    std::lock_guard lock(mutex_);
    const MemberId id = next_id_++;
    callbacks.drained = [this, id] {
      std::lock_guard guard(drained_mutex_);
      drained_[id] = true;
      drained_changed_.notify_all();
    };
    MemberConfig config;
    config.job = "job";
    config.key = "a key of thirty-two bytes length";
    config.build = "test";
    config.self = id;
    config.state = state;
    config.pool = pool_;
    auto member = Member::start(config, with_done(std::move(callbacks)));
    infos_[id] = {id, state, "127.0.0.1", member->port(), 1, pool_, "test"};
    members_[id] = std::shared_ptr<Member>(std::move(member));
    change({infos_[id]}, {}, id);
    return id;
  }
  std::shared_ptr<Member> at(MemberId id) {
    std::lock_guard lock(mutex_);
    auto found = members_.find(id);
    return found == members_.end() ? nullptr : found->second;
  }
  // Drains a member and lets it end.
  void remove(MemberId id) {
    std::shared_ptr<Member> leaving;
    {
      std::lock_guard lock(mutex_);
      leaving = members_[id];
      infos_[id].state = MemberState::Draining;
      change({infos_[id]}, {}, kNoMember);
    }
    leaving->drain();
    {
      std::unique_lock lock(drained_mutex_);
      if (!drained_changed_.wait_for(lock, std::chrono::seconds(60), [&] { return drained_[id]; }))
        ADD_FAILURE() << "member " << id << " did not drain";
    }
    std::lock_guard lock(mutex_);
    infos_.erase(id);
    members_.erase(id);
    change({}, {id}, kNoMember);
  }

 private:
  // A new view, with shards spread evenly over the active members; `fresh` gets it whole.
  void change(std::vector<MemberInfo> changed, std::vector<MemberId> gone, MemberId fresh) {
    std::vector<MemberId> homes;
    for (const auto& [id, info] : infos_)
      if (info.state == MemberState::Active) homes.push_back(id);
    ViewChange step{++epoch_, false, std::move(changed), std::move(gone), {}};
    ViewChange whole{epoch_, true, {}, {}, {}};
    for (const auto& [id, info] : infos_) whole.members.push_back(info);
    for (uint32_t s = 0; s < kShards && !homes.empty(); s++) {
      // A shard stays where it is unless its home is gone or has too many.
      const auto home = homes[s * homes.size() / kShards];
      if (shards_.size() <= s) shards_.push_back(kNoMember);
      if (shards_[s] != home) step.shards.push_back({s, 1, home});
      shards_[s] = home;
      whole.shards.push_back({s, 1, home});
    }
    for (const auto& [id, member] : members_) member->apply(id == fresh ? whole : step);
  }

  const int64_t pool_;
  std::mutex mutex_;
  std::map<MemberId, std::shared_ptr<Member>> members_;
  std::map<MemberId, MemberInfo> infos_;
  std::vector<MemberId> shards_;
  MemberId next_id_ = 1;
  uint64_t epoch_ = 0;
  std::mutex drained_mutex_;
  std::condition_variable drained_changed_;
  std::map<MemberId, bool> drained_;
};

}  // namespace dmi::memory
