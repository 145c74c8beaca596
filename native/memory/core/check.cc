// Internal consistency. Level 1 looks at counters, level 2 at every page and directory entry.
#include "engine_impl.h"

namespace dmi::memory {

std::string EngineImpl::check(int level) const {
  if (level <= 0) return {};
  if (offers_out_ < 0 || offered_bytes_ < 0) return "offers out of balance";
  if (unflushed_.load() < 0) return "barrier arrivals out of balance";
  if (store_.pages_owned < 0 || store_.bytes_owned < 0) return "page counters out of balance";
  if (level < 2) return {};
  int64_t travelling = 0;
  for (auto& [name, local] : barriers_) travelling += local.kept ? 0 : static_cast<int64_t>(local.arrived.size());
  if (travelling != unflushed_.load()) return "count of barrier arrivals to be sent is wrong";
  int64_t owned = 0;
  uint64_t acquiring = 0;
  int64_t accepted = 0;
  std::string why;
  auto& store = const_cast<PageStore&>(store_);
  store.each_page([&](Page& p) {
    const auto say = [&](const char* what) { if (why.empty()) why = text("page %llx: %s", static_cast<unsigned long long>(p.key), what); };
    if (!p.mapping || p.mapping->find(index_of(p.key)) != &p) return say("is not where its mapping looks for it");
    if (p.base != p.mapping->page_base(index_of(p.key))) say("has the wrong address");
    if ((p.role == Role::None) != (p.frame == nullptr)) say("role and frame disagree");
    owned += p.role == Role::Owned;
    const auto* w = p.work.get();
    if (!w) return;
    acquiring += w->acquiring;
    if (w->offered_by != kNoMember) accepted += p.size;
    if (w->busy && p.role != Role::Owned) say("is busy without being owned");
    if (w->busy != (busy_.count(&p) != 0)) say("busy list disagrees");
    if (w->busy && (p.access != 0)) say("is busy but open to hot paths");
    if (!w->staged.empty() && p.role != Role::Copy) say("has staged writes without a copy");
    if (!w->staged.empty() && p.access != 0) say("has staged writes but may be read");
    if (!w->sharers.empty() && p.role != Role::Owned) say("has sharers without being owned");
    if (!w->sharers.empty() && (p.access & Page::kWrite)) say("has sharers but hot writes are allowed");
    if (p.role == Role::Owned && !w->busy && !w->queue.empty()) say("is idle with a queue");
    if (w->acquiring && p.role == Role::Owned) say("acquires what it owns");
    if (!w->readers.empty() && w->fetches == 0 && w->staged.empty()) say("has readers that nothing will serve");
  });
  if (!why.empty()) return why;
  if (owned != store_.pages_owned) return "count of owned pages is wrong";
  if (accepted != accepted_bytes_) return "count of accepted bytes is wrong";
  if (acquiring != acquiring_) return "count of acquisitions is wrong";
  for (uint32_t s = 0; s < kShards; s++) {
    if (!shards_[s].here) continue;
    if (view_.home(s) != self_) return text("shard %u is here but belongs to member %d", s, view_.home(s));
    if (!shards_[s].waiting.empty()) return text("shard %u is here with requests waiting for it", s);
    for (auto& [key, e] : shards_[s].here->pages)
      if (shard_of_page(key) != s) return text("page %llx is in the wrong shard", static_cast<unsigned long long>(key));
  }
  return {};
}

std::string EngineImpl::describe() const {
  std::string all = text("member %d epoch %llu offers %lld bytes %lld drained %d:", self_, (unsigned long long)view_.epoch(), (long long)offers_out_, (long long)offered_bytes_, drained_);
  for (auto id : view_.active()) all += text(" active %d", id);
  auto& store = const_cast<PageStore&>(store_);
  store.each_page([&](Page& p) {
    all += text("\n   page %llx role %d", (unsigned long long)p.key, (int)p.role);
    if (auto* w = p.work.get()) all += text(" sharers %zu busy %d unacked %zu queue %zu acquiring %d by %d away %d fetches %u readers %zu", w->sharers.size(), w->busy, w->unacked.size(), w->queue.size(), w->acquiring, w->offered_by, w->offered_away, w->fetches, w->readers.size());
    if (p.work) for (auto& s : p.work->unacked) all += text(" unacked by %d since %llu", s.member, (unsigned long long)s.since);
  });
  for (uint32_t s = 0; s < kShards; s++)
    if (shards_[s].here)
      for (auto& [key, e] : shards_[s].here->pages)
        if (e.transfer) all += text("\n   home of %llx owner %d moving to %d queue %zu", (unsigned long long)key, e.owner, e.transfer->to, e.transfer->queue.size());
  for (uint32_t s = 0; s < kShards; s++) {
    if (!shards_[s].waiting.empty()) all += text("\n   shard %u (home %d) has %zu waiting", s, view_.home(s), shards_[s].waiting.size());
    if (!shards_[s].here) continue;
    auto& sync = shards_[s].here->sync;
    const auto queue = [&](const char* what, uint64_t name, const std::vector<Waiter>& q) {
      all += text("\n   shard %u %s %llx:", s, what, (unsigned long long)name);
      for (auto& w : q) all += text(" %llx at %d%s", (unsigned long long)w.id, w.at, w.parked ? " parked" : "");
    };
    for (auto& [name, m] : sync.mutexes) queue(text("mutex held by %llx", (unsigned long long)m.holder).c_str(), name, m.queue);
    for (auto& [name, m] : sync.conditions) queue("condition", name, m.queue);
    for (auto& [name, m] : sync.mailboxes) queue("mailbox", name, m.queue);
    for (auto& [name, m] : sync.barriers) queue(text("barrier %u of %u", m.arrived, m.pnum).c_str(), name, m.singles);
    for (auto& [id, h] : sync.held) all += text("\n   shard %u holds a grant for %llx", s, (unsigned long long)id);
  }
  ops_.each([&](OpState& op) {
    const auto* s = &op;
    const auto id = op.id;
    if (s->op) all += text("\n   op %llx kind %d name %llx%s%s%s%s", (unsigned long long)id, (int)s->op->kind, (unsigned long long)s->op->addr, s->parking ? " parking" : "", s->resuming ? " resuming" : "", s->morphed ? " morphed" : "", s->park_wanted ? " park wanted" : "");
    for (auto& part : s->parts)
      if (!part.done) all += text("\n   op %llx lacks page %llx%s", (unsigned long long)id, (unsigned long long)part.key, part.fetch ? " (fetch)" : "");
  });
  return all + "\n";
}

}  // namespace dmi::memory
