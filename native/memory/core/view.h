// The view: who is a member, in what state, and which member is the home of each shard, as of one epoch.
#pragma once
#include <map>
#include <set>
#include <vector>

#include "wire.h"

namespace dmi::memory {

class View {
 public:
  View() : homes_(kShards, kNoMember) {}

  uint64_t epoch() const { return epoch_; }
  // Empty: applied. Otherwise why the change makes no sense; nothing has changed then.
  std::string apply(const ViewChange& change);

  MemberId home(uint32_t shard) const { return homes_[shard]; }
  const std::map<MemberId, MemberInfo>& members() const { return members_; }
  const std::vector<MemberId>& active() const { return active_; }  // ascending
  bool is_active(MemberId id) const;
  // Has it left? A member that was in the view of epoch `since` and is not in ours, which is as new, has; one that is not
  // in ours, which is older, may be yet to come. Ids are not used twice.
  bool is_gone(MemberId id, uint64_t since) const { return !members_.count(id) && (since <= epoch_ || gone_.count(id) != 0); }
  bool is_known_gone(MemberId id) const { return gone_.count(id) != 0; }
  bool has(MemberId id) const { return members_.count(id) != 0; }
  int64_t total_pool() const;

 private:
  uint64_t epoch_ = 0;
  std::map<MemberId, MemberInfo> members_;
  std::set<MemberId> gone_;
  std::vector<MemberId> active_;
  std::vector<MemberId> homes_;
};

uint64_t mix(uint64_t x);  // a bijection that scatters its input over all bits
inline uint32_t shard_of_page(PageKey key) { return static_cast<uint32_t>(mix(key) % kShards); }
// Synchronisation objects: the address, or the thread whose event or mailbox it is.
inline uint32_t shard_of_name(uint64_t name) { return static_cast<uint32_t>(mix(name ^ 0x5359u) % kShards); }
constexpr uint32_t kAuthorityShard = 0;  // its home is the mapping authority

}  // namespace dmi::memory
