#include "view.h"

#include <algorithm>

namespace dmi::memory {

std::string View::apply(const ViewChange& c) {
  if (c.epoch <= epoch_) return "its epoch is not newer than " + std::to_string(epoch_);
  if (!c.full && c.epoch != epoch_ + 1) return "it builds on epoch " + std::to_string(c.epoch - 1) + ", this member has " + std::to_string(epoch_);
  for (auto& s : c.shards)
    if (s.first >= kShards || s.count > kShards - s.first || s.home < 0) return "it names shards that do not exist";
  for (auto& m : c.members)
    if (m.id < 0) return "it names a member below 0";
  epoch_ = c.epoch;
  if (c.full) {
    for (auto& [id, info] : members_)
      if (std::none_of(c.members.begin(), c.members.end(), [id = id](auto& m) { return m.id == id; })) gone_.insert(id);
    members_.clear();
  }
  for (auto& m : c.members)
    if (!gone_.count(m.id)) members_[m.id] = m;
  for (auto id : c.gone) {
    members_.erase(id);
    gone_.insert(id);
  }
  for (auto& s : c.shards) std::fill_n(homes_.begin() + s.first, s.count, s.home);
  active_.clear();
  for (auto& [id, m] : members_)
    if (m.state == MemberState::Active) active_.push_back(id);
  return {};
}

bool View::is_active(MemberId id) const { return std::binary_search(active_.begin(), active_.end(), id); }

int64_t View::total_pool() const {
  int64_t sum = 0;
  for (auto id : active_) sum += members_.at(id).pool;
  return sum;
}

uint64_t mix(uint64_t x) {  // the finaliser of SplitMix64 (Steele, Lea, Flood 2014)
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace dmi::memory
