// Who owns a page: how ownership is asked for, comes, is handed over, and what happens to requests that come too late or too early.
#include "messages.h"

namespace dmi::memory {

void EngineImpl::acquire(Page& p, MemberId from) {
  work(p).acquiring = true;
  acquiring_++;
  to_home(shard_of_page(p.key), Acquire{self_, from, p.key});
}

void EngineImpl::become_owner(Page& p, PageFrame* frame, uint64_t ver, std::vector<Sharer> sharers) {
  if (p.role == Role::Owned) return frame->unref();
  auto& w = work(p);
  if (w.acquiring) acquiring_--;
  w.acquiring = false;
  settle_offer(p);
  w.staged.clear();
  w.min_ver = 0;
  store_.set_frame(p, frame, Role::Owned);
  p.ver = ver;
  w.sharers = std::move(sharers);
  std::erase_if(w.sharers, [&](auto& s) { return s.member == self_ || view_.is_gone(s.member, s.since); });
  auto readers = std::move(w.readers);
  w.readers.clear();
  for (auto& r : readers) w.queue.push_back(local_task(*r.op, r.index));
  wake_watchers(p);
  run_queue(p);
}

void EngineImpl::on(MemberId from, uint64_t, PageMove& m, Bytes data) {
  auto* map = learn(mapping_of(m.key), m.page_size, m.page_count);
  if (!map) return;  // unmapped meanwhile
  if (static_cast<int64_t>(data.size()) != map->page_size || index_of(m.key) >= static_cast<uint64_t>(map->page_count))
    return broke_protocol(from, "a page of the wrong size");
  auto& p = store_.get(*map, index_of(m.key));
  auto* frame = PageFrame::make_raw(map->page_size);
  std::memcpy(frame->bytes(), data.data(), data.size());
  to_home(shard_of_page(m.key), Owned{self_, m.key});
  become_owner(p, frame, m.ver, std::move(m.sharers));
}

void EngineImpl::on(MemberId from, uint64_t epoch, Transfer& m, Bytes) {
  auto* map = store_.mapping(mapping_of(m.key));
  if (map && map->dead.load(std::memory_order_relaxed)) return;
  if (!map) {  // the first touch that makes us the owner comes from a former home, on another wire
    look_up(mapping_of(m.key));
    lookups_[mapping_of(m.key)].messages.push_back({from, encode(m, epoch, kInline), {}});
    return;
  }
  if (index_of(m.key) >= static_cast<uint64_t>(map->page_count)) return broke_protocol(from, "a transfer of an unknown page");
  auto& p = store_.get(*map, index_of(m.key));
  PageTask t;
  t.transfer_to = m.to;
  if (p.role == Role::Owned) {
    const auto key = p.key;
    accept(p, std::move(t));
    if (auto* q = store_.find(key)) tidy(*q);
  } else {
    work(p).queue.push_back(std::move(t));
  }
}

void EngineImpl::hand_over(Page& p, MemberId to) {
  const auto key = p.key;
  auto& w = work(p);
  if (to == self_ || view_.is_known_gone(to)) {  // nobody would keep it there: it stays
    to_home(shard_of_page(key), Owned{self_, key});
    return;
  }
  auto* map = p.mapping;
  std::erase_if(w.sharers, [&](auto& s) { return s.member == to || view_.is_gone(s.member, s.since); });
  store_.set_access(p, 0);
  send(to, PageMove{key, p.ver, map->page_size, map->page_count, std::move(w.sharers)},
       {{p.data, static_cast<size_t>(p.size)}, p.frame->keep()});
  w.sharers.clear();
  stats_.pages_handed_over++;
  if (w.offered_away) {
    if (!draining_) stats_.pages_swapped++;
    w.offered_away = false;
    offers_out_--;
    offered_bytes_ -= p.size;
    refusals_.erase(key);
  }
  store_.set_frame(p, nullptr, Role::None);
  store_.set_hint(*map, index_of(key), to);
  // What queues here runs at the new owner. It gets these after the page: one channel, one order.
  auto queue = std::move(w.queue);
  w.queue.clear();
  wake_watchers(p);
  for (auto& t : queue) reroute(t, key, to);
}

void EngineImpl::reroute(PageTask& t, PageKey key, MemberId to) {
  if (t.transfer_to != kNoMember) return;
  if (t.local) {
    auto& part = t.local->parts[t.index];
    if (part.fetch) {  // it had been sent as a fetch and come back: that fetch is over
      part.fetch = false;
      if (auto* p = store_.find(key); p && p->work && p->work->fetches > 0) p->work->fetches--;
    }
    return start_part(*t.local, t.index);
  }
  const PageReq head{t.requester, t.since, t.op, t.kind, t.mode, 0, t.tag, t.in_size, t.out_size, 0, 0, {}};
  // To a member that is leaving only what it waits for may be sent: it might be gone before the rest arrives.
  if (view_.is_active(to)) add_part(to, head, {t.index, key, t.off, t.len}, {t.own});
  else home_part(head, {t.index, key, t.off, t.len}, t.own, view_.epoch(), self_);
}

// For the first touch of a page. Null: its size, as the mapping authority told it, is more than the memory there is here. Such
// a mapping cannot have been granted; for this member it is over, so that everybody who waits for one of its pages hears of
// it. Throws bad_alloc where not the authority has told the size, but the message that is being handled (`learned`).
PageFrame* EngineImpl::zeros(const Mapping& m, bool learned) {
  try {
    return PageFrame::make(m.page_size);
  } catch (const std::bad_alloc&) {
    if (learned) throw;
    log(50, text("mapping %u has pages of %lld bytes, for which there is no memory here: it is given up", m.id, static_cast<long long>(m.page_size)));
    bury(m.id);
    return nullptr;
  }
}

void EngineImpl::on(MemberId from, uint64_t, Granted& m, Bytes) {
  auto* map = store_.mapping(mapping_of(m.key));
  if (!map) map = learn(mapping_of(m.key), m.page_size, m.page_count);
  if (!map || map->dead.load(std::memory_order_relaxed)) return;
  if (index_of(m.key) >= static_cast<uint64_t>(map->page_count)) return broke_protocol(from, "a grant of an unknown page");
  if (m.what == Granted::Create) {
    if (auto* frame = zeros(*map)) become_owner(store_.get(*map, index_of(m.key)), frame, 0, {});
    return;
  }
  auto& p = store_.get(*map, index_of(m.key));
  auto& w = work(p);
  if (w.acquiring) acquiring_--;
  w.acquiring = false;
  if (m.what == Granted::Refused) {
    const auto by = settle_offer(p);
    if (by != kNoMember) send(by, OfferAns{{m.key}});
    if (p.role != Role::Owned) {
      std::vector<PageTask> all;
      for (auto& t : w.queue)
        if (t.transfer_to == kNoMember) all.push_back(std::move(t));
      std::erase_if(w.queue, [](auto& t) { return t.transfer_to == kNoMember; });
      for (auto& t : all) {
        if (t.local) t.local->parts[t.index].put_only = true;  // perhaps the home knows already that we are leaving
        reroute(t, m.key, kNoMember);
      }
    }
  }
  if (auto* q = store_.find(m.key)) tidy(*q);
}

// After a new view: no acknowledgement is to be expected of members that are not in it any more.
void EngineImpl::forget_gone() {
  std::vector<Page*> waiting;
  for (auto* p : busy_) {
    auto& w = *p->work;
    if (std::erase_if(w.unacked, [&](auto& s) { return view_.is_gone(s.member, s.since); }) && w.unacked.empty() && !w.function) waiting.push_back(p);
  }
  for (auto* p : waiting)
    if (busy_.count(p)) commit_write(*p);
  std::erase_if(drain_wait_, [&](auto id) { return !view_.has(id); });
  std::erase_if(sunk_, [&](auto& s) { return view_.is_known_gone(s.first); });
  std::erase_if(batches_, [&](auto& b) { return !b.second.open && view_.is_known_gone(b.first); });
  if (auto* here = shards_[kAuthorityShard].here.get()) forget_unmapping(*here->authority);
}

}  // namespace dmi::memory
