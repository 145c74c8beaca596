// A member gives everything away: its shards by the view, its pages one by one. It has nothing left when
//  - every other member has answered a notice, sent with the view that made us draining. Its answer comes after everything
//    it sent us before it knew: first touches that make us an owner, requests by an old hint, requests to us as a home;
//  - no page is owned, being acquired or on offer here, no shard (or part of one) is here;
//  - no operation of ours is under way, except those that may wait for ever.
#include "messages.h"

namespace dmi::memory {

constexpr int64_t kOffersOut = 256;                // pages on offer at a time
constexpr int64_t kOfferedBytes = 64 << 20;        // and bytes
constexpr size_t kKeysPerOffer = 64;

void EngineImpl::drain(Outbox& out) {
  Entry entry(*this, out);
  drain_asked_ = true;
  begin_drain();
}

void EngineImpl::begin_drain() {
  if (draining_ || self_state_ == MemberState::Active || view_.epoch() == 0) return;
  draining_ = true;
  std::vector<PageKey> copies;
  store_.each_page([&](Page& p) { if (p.role == Role::Copy) copies.push_back(p.key); });
  for (auto key : copies) {
    auto* p = store_.find(key);
    drop_copy(*p);
    if (p->work) serve_readers(*p);
    if ((p = store_.find(key))) tidy(*p);
  }
  for (auto& [id, m] : view_.members())
    if (id != self_) drain_wait_.insert(id);
  for (auto id : drain_wait_) send(id, DrainNotice{view_.epoch()});
}

void EngineImpl::on(MemberId from, uint64_t epoch, DrainNotice& m, Bytes) {
  if (m.epoch > view_.epoch()) {
    future_.emplace_back(m.epoch, Stored{from, encode(m, epoch, kInline), {}});
    return;
  }
  // From here on this member sends nothing to `from` unless it owns a page or asked for something: see route().
  send(from, DrainReady{m.epoch});
}

void EngineImpl::on(MemberId from, uint64_t, DrainReady&, Bytes) { drain_wait_.erase(from); }

void EngineImpl::push_pages() {
  if (store_.pages_owned == 0 || pushing_) return;
  auto& active = view_.active();
  std::vector<MemberId> targets;
  for (auto id : active)
    if (id != self_) targets.push_back(id);
  if (targets.empty()) return;  // nobody to give to; a later view may bring one
  if (offers_out_ >= kOffersOut || offered_bytes_ >= kOfferedBytes || offers_out_ >= store_.pages_owned) return;
  pushing_ = true;
  std::map<std::pair<MemberId, bool>, Offer> offers;
  store_.each_page([&](Page& p) {
    if (p.role != Role::Owned || offers_out_ >= kOffersOut || (offers_out_ > 0 && offered_bytes_ + p.size > kOfferedBytes)) return;
    if (p.work && p.work->offered_away) return;
    const auto tried = refusals_.count(p.key) ? refusals_[p.key] : 0;
    const auto to = targets[(mix(p.key) + tried) % targets.size()];
    auto& o = offers[{to, tried >= targets.size()}];
    o.force = tried >= targets.size();
    o.keys.push_back(p.key);
    o.bytes += p.size;
    work(p).offered_away = true;
    offers_out_++;
    offered_bytes_ += p.size;
    if (o.keys.size() == kKeysPerOffer) {
      send(to, o);
      o = {};
    }
  });
  for (auto& [to, o] : offers)
    if (!o.keys.empty()) send(to.first, o);
  pushing_ = false;
}

void EngineImpl::on(MemberId from, uint64_t, Offer& m, Bytes) {
  std::vector<PageKey> refused;
  const bool fits = m.force || m.bytes <= room();
  for (auto key : m.keys) {
    if (!possible(key)) return broke_protocol(from, "a page of an impossible mapping");
    auto* map = store_.mapping(mapping_of(key));
    if (map && (map->dead.load(std::memory_order_relaxed) || index_of(key) >= static_cast<uint64_t>(map->page_count))) continue;
    if (!map) {  // look it up before we become an owner in it
      look_up(mapping_of(key));
      Offer one{m.force, m.bytes, {key}};
      lookups_[mapping_of(key)].messages.push_back({from, encode(one, view_.epoch(), kInline), {}});
      continue;
    }
    if (!may_own() || !fits) {
      refused.push_back(key);
      continue;
    }
    auto& p = store_.get(*map, index_of(key));
    if (p.role == Role::Owned) continue;
    auto& w = work(p);
    settle_offer(p);
    w.offered_by = from;
    accepted_bytes_ += p.size;
    if (!w.acquiring) acquire(p, from);  // otherwise it comes anyway, or we tell `from` that it will not
  }
  if (refused.empty()) return;
  if (may_own()) refused_.try_emplace(from, m.bytes);
  send(from, OfferAns{refused});
}

void EngineImpl::on(MemberId, uint64_t, OfferAns& m, Bytes) {
  if (m.keys.empty()) swap_anew();
  for (auto key : m.keys) {
    auto* p = store_.find(key);
    if (!p || !p->work || !p->work->offered_away) continue;
    p->work->offered_away = false;
    offers_out_--;
    offered_bytes_ -= p->size;
    refusals_[key]++;
    tidy(*p);
  }
}

// What still has to happen before this member may go; null: nothing.
const char* EngineImpl::holds_up_drain() const {
  if (!drain_wait_.empty()) return "members have not answered the notice";
  if (store_.pages_owned > 0) return "pages are owned here";
  if (acquiring_ > 0) return "pages are on their way here";
  if (offers_out_ > 0) return "pages are on offer";
  if (!future_.empty()) return "messages wait for a newer view";
  for (auto& [id, l] : lookups_)
    if (!l.messages.empty()) return "messages wait for a mapping to be looked up";
  for (auto& shard : shards_)
    if (shard.here || !shard.arriving.empty() || !shard.waiting.empty()) return "shards are here";
  bool under_way = false;
  ops_.each([&](const OpState& s) { under_way |= s.op && !is_long(s.op->kind); });
  return under_way ? "operations are under way" : nullptr;
}

void EngineImpl::check_drained() {
  if (holds_up_drain()) return;
  drained_ = true;
  out_->drained = true;
}

}  // namespace dmi::memory
