// Keeps this member within the pool it offers. Copies go first: they are dropped, silently, as an owner asks no more of a
// sharer than to acknowledge. When the owned pages alone are too many, some move to members with room (remote swap), by the
// same offers that a draining member makes, but never forced on anybody.
//
// Which ones: a clock. Hot paths and local operations mark a page as used; the hand passes over it once for that.
#include <algorithm>

#include "messages.h"

namespace dmi::memory {

constexpr int kHandSteps = 256;       // per event, so that being over the pool never makes one event slow
constexpr int64_t kSwapsOut = 64;     // pages on offer at a time
constexpr uint32_t kSwapRest = 2048;  // events before asking again, when nobody had room and nobody says that there is some now

static bool used_lately(Page& p) { return p.used.exchange(false, std::memory_order_relaxed); }

void EngineImpl::keep_within_pool() {
  if (!refused_.empty()) invite();
  if (store_.bytes_owned + store_.bytes_cached <= config_.pool || draining_ || view_.epoch() == 0) return;
  if (swap_rest_ > 0) swap_rest_--;
  for (int i = 0; i < kHandSteps && store_.page_slots() > 0; i++) {
    const bool copies = store_.bytes_cached > 0 && store_.bytes_owned + store_.bytes_cached > config_.pool;
    const bool owned = may_own() && swap_rest_ == 0 && offers_out_ < kSwapsOut && store_.bytes_owned - offered_bytes_ > config_.pool;
    if (!copies && !owned) return;
    clock_hand_ = (clock_hand_ + 1) % store_.page_slots();
    auto& p = store_.page_slot(clock_hand_);
    if (p.base == 0 || pins_.has(p.key)) continue;
    if (p.role == Role::Copy && copies && !used_lately(p)) evict(p);
    else if (p.role == Role::Owned && owned && !used_lately(p)) swap_out(p);
  }
}

void EngineImpl::evict(Page& p) {
  const auto* w = p.work.get();
  if (w && (!w->staged.empty() || !w->readers.empty() || !w->watchers.empty() || !w->queue.empty() || w->fetches > 0)) return;
  stats_.pages_evicted++;
  drop_copy(p);
  tidy(p);
}

void EngineImpl::swap_out(Page& p) {
  const auto* w = p.work.get();
  if (w && (w->busy || w->offered_away || !w->queue.empty() || !w->watchers.empty())) return;
  const auto& active = view_.active();
  const auto self = static_cast<size_t>(std::lower_bound(active.begin(), active.end(), self_) - active.begin());
  const size_t others = active.size() - (self < active.size() && active[self] == self_);
  const auto known = refusals_.find(p.key);
  const size_t tried = known == refusals_.end() ? 0 : known->second;
  if (tried >= others) {
    refusals_.clear();  // after the rest everything is offered anew
    swap_rest_ = kSwapRest;
    return;
  }
  work(p).offered_away = true;
  offers_out_++;
  offered_bytes_ += p.size;
  size_t to = (mix(p.key) + tried) % others;
  if (others < active.size() && to >= self) to++;
  send(active[to], Offer{false, p.size, {p.key}});
}

// There may be room for what was refused before.
void EngineImpl::swap_anew() {
  swap_rest_ = 0;
  if (!draining_) refusals_.clear();
}

// Whoever was refused for want of room may ask again once there is some, and not only after kSwapRest events, of which a job
// that rests has none: an answer without keys says so.
void EngineImpl::invite() {
  std::erase_if(refused_, [&](auto& r) {
    if (may_own() && room() < r.second) return false;
    if (may_own()) send(r.first, OfferAns{});
    return true;
  });
}

// Bytes of further pages that may be taken over without going beyond the pool.
int64_t EngineImpl::room() const { return config_.pool - store_.bytes_owned - accepted_bytes_; }

// The offer that made us acquire this page is settled: it is here, or will not come.
MemberId EngineImpl::settle_offer(Page& p) {
  if (!p.work || p.work->offered_by == kNoMember) return kNoMember;
  accepted_bytes_ -= p.size;
  return std::exchange(p.work->offered_by, kNoMember);
}

void EngineImpl::pin(const Op& op) {
  auto& m = *store_.mapping(mapping_of(static_cast<uint64_t>(op.addr)));
  const auto off = static_cast<uint64_t>(op.addr) & kOffsetMask;
  const auto first = key_of(m.id, m.index_of(off)), last = key_of(m.id, m.index_of(off + static_cast<uint64_t>(op.size) - 1));
  if (op.kind == OpKind::Save) pins_.add(first, last);
  else pins_.remove(first, last);
}

}  // namespace dmi::memory
