// Mappings. The home of shard 0 is the authority: it gives out ids, which are never used twice, and accounts bytes. Everyone
// else looks a mapping up once. The end of a mapping is told to everybody, and answered, before DMI_munmap returns.
#include "messages.h"

namespace dmi::memory {

constexpr int64_t kMaxBytes = 1ll << kOffsetBits;

static bool sensible(int64_t page_size, int64_t page_count) {
  return page_size > 0 && page_count > 0 && page_size <= kMaxBytes && page_count <= kMaxBytes / page_size;
}

void EngineImpl::start_mmap(Op* op) {
  if (op->size <= 0 || op->value <= 0)
    return complete_now(op, EINVAL, text("page size %lld and page count %lld must both be above 0", static_cast<long long>(op->size), static_cast<long long>(op->value)));
  if (!sensible(op->size, op->value))
    return complete_now(op, ENOMEM, text("%lld pages of %lld bytes are more than the 1 TiB that one mapping can have; use several",
                                         static_cast<long long>(op->value), static_cast<long long>(op->size)));
  auto& s = new_state(op);
  to_home(kAuthorityShard, MapReq{MapReq::Map, self_, view_.epoch(), s.id, 0, op->size, op->value});
}

void EngineImpl::start_munmap(Op* op) {
  const auto id = mapping_of(static_cast<uint64_t>(op->addr));
  const auto* m = store_.mapping(id);
  if (op->addr <= 0 || (static_cast<uint64_t>(op->addr) & kOffsetMask) != 0 || id > kMaxMapping || (m && m->dead.load(std::memory_order_relaxed)))
    return complete_now(op, EINVAL, text("0x%llx is not the address of a mapping", static_cast<unsigned long long>(op->addr)));
  if (id == kRootMapping) return complete_now(op, EPERM, "the root page belongs to the job: it cannot be unmapped");
  auto& s = new_state(op);
  to_home(kAuthorityShard, MapReq{MapReq::Unmap, self_, view_.epoch(), s.id, id, 0, 0});
}

void EngineImpl::look_up(uint32_t id) {
  if (!lookups_.try_emplace(id).second) return;
  to_home(kAuthorityShard, MapReq{MapReq::Lookup, self_, view_.epoch(), 0, id, 0, 0});
}

Mapping* EngineImpl::learn(uint32_t id, int64_t page_size, int64_t page_count) {
  if (auto* m = store_.mapping(id)) return m->dead.load(std::memory_order_relaxed) ? nullptr : m;
  if (id == 0 || id > kMaxMapping || !sensible(page_size, page_count)) return nullptr;
  auto* m = store_.add_mapping(id, page_size, page_count, false);
  look_up(id);  // so that the authority counts us among those to be told of its end
  return m;
}

// ---- authority ---------------------------------------------------------------------------------------------------------
void EngineImpl::on(MemberId from, uint64_t, MapReq& m, Bytes) {
  auto* a = shards_[kAuthorityShard].here->authority.get();
  if (!a || m.requester < 0) return broke_protocol(from, "a mapping request from nobody");
  a->seen[m.requester] = m.since;
  MapAns r;
  r.what = m.what;
  r.op = m.op;
  r.id = m.id;
  switch (m.what) {
    case MapReq::Map: {
      if (!sensible(m.page_size, m.page_count)) return broke_protocol(from, "an impossible mapping");
      const int64_t bytes = m.page_size * m.page_count;
      const int64_t pool = view_.total_pool();
      if (bytes > pool - a->reserved) {
        r.error = ENOMEM;
        r.text = text("no room for a mapping of %lld bytes: the job's members offer %lld bytes and %lld are taken; add nodes, raise "
                      "--memory, or unmap something", static_cast<long long>(bytes), static_cast<long long>(pool), static_cast<long long>(a->reserved));
      } else if (a->next_id > kMaxMapping) {
        r.error = ENOMEM;
        r.text = "all 8,388,607 mapping ids of this job are used up";
      } else {
        r.id = a->next_id++;
        r.page_size = m.page_size;
        r.page_count = m.page_count;
        a->reserved += bytes;
        a->live[r.id] = {m.page_size, m.page_count};
      }
      break;
    }
    case MapReq::Lookup: {
      auto at = a->live.find(m.id);
      if (at == a->live.end()) {
        r.error = EFAULT;
      } else {
        r.page_size = at->second.page_size;
        r.page_count = at->second.page_count;
      }
      break;
    }
    case MapReq::Unmap: {
      auto at = a->live.find(m.id);
      if (at == a->live.end()) {
        r.error = EINVAL;
        r.text = text("0x%llx is not the address of a mapping (any more)", static_cast<unsigned long long>(m.id) << kOffsetBits);
        break;
      }
      a->reserved -= at->second.page_size * at->second.page_count;
      a->live.erase(at);
      auto& u = a->unmapping[m.id];
      u.requester = m.requester;
      u.op = m.op;
      auto everyone = a->seen;
      for (auto& [id, info] : view_.members()) everyone[id] = view_.epoch();
      everyone[self_] = view_.epoch();
      for (auto [id, since] : everyone)
        if (id == self_ || !view_.is_gone(id, since)) u.unacked.push_back({id, false, since});
      for (auto& s : std::vector(u.unacked)) send(s.member, Unmap{m.id});
      return;  // answered when all have acknowledged
    }
    default: return broke_protocol(from, "a mapping request of unknown kind");
  }
  send(m.requester, r);
}

void EngineImpl::unmap_acked(Authority& a, uint32_t id, MemberId member) {
  auto at = a.unmapping.find(id);
  if (at == a.unmapping.end()) return;
  auto& u = at->second;
  std::erase_if(u.unacked, [&](auto& s) { return s.member == member; });
  if (!u.unacked.empty()) return;
  MapAns r;
  r.what = MapReq::Unmap;
  r.op = u.op;
  r.id = id;
  send(u.requester, r);
  a.unmapping.erase(at);
}

void EngineImpl::forget_unmapping(Authority& a) {
  std::erase_if(a.seen, [&](auto& s) { return view_.is_gone(s.first, s.second); });
  std::vector<std::pair<uint32_t, MemberId>> gone;
  for (auto& [id, u] : a.unmapping)
    for (auto& s : u.unacked)
      if (s.member != self_ && view_.is_gone(s.member, s.since)) gone.emplace_back(id, s.member);
  for (auto [id, member] : gone) unmap_acked(a, id, member);
}

void EngineImpl::on(MemberId from, uint64_t, UnmapAck& m, Bytes) {
  auto* a = shards_[kAuthorityShard].here->authority.get();
  if (!a) return broke_protocol(from, "an acknowledgement out of place");
  unmap_acked(*a, m.id, m.member);
}

// ---- everyone ----------------------------------------------------------------------------------------------------------
void EngineImpl::on(MemberId from, uint64_t, MapAns& m, Bytes) {
  if (m.what != MapReq::Map && (m.id == 0 || m.id > kMaxMapping)) return broke_protocol(from, "an answer about an impossible mapping");
  if (m.what == MapReq::Lookup) {
    auto at = lookups_.find(m.id);
    if (at == lookups_.end()) return;
    if (m.error) bury(m.id);
    else if (!sensible(m.page_size, m.page_count)) return broke_protocol(from, "an impossible mapping");
    else store_.add_mapping(m.id, m.page_size, m.page_count, false);
    auto waiting = std::move(at->second);
    lookups_.erase(at);
    for (auto* op : waiting.ops) start(op);
    handle_again(waiting.messages);
    return;
  }
  auto* s = state(m.op);
  if (!s || !s->op || s->op->kind != (m.what == MapReq::Map ? OpKind::Mmap : OpKind::Munmap)) return broke_protocol(from, "an answer nobody waits for");
  if (m.error) {
    fail_op(*s, m.error, m.text);
  } else if (m.what == MapReq::Map) {
    if (m.id == 0 || m.id > kMaxMapping || !sensible(m.page_size, m.page_count)) return broke_protocol(from, "an impossible mapping");
    store_.add_mapping(m.id, m.page_size, m.page_count, false);
    s->op->value = static_cast<int64_t>(m.id) << kOffsetBits;
  }
  complete(*s);
}

void EngineImpl::on(MemberId from, uint64_t, Unmap& m, Bytes) {
  if (m.id == kRootMapping) return broke_protocol(from, "the end of the root page");
  if (m.id != 0 && m.id <= kMaxMapping) bury(m.id);
  to_home(kAuthorityShard, UnmapAck{self_, m.id});
}

void EngineImpl::bury(uint32_t id) {
  auto* m = store_.mapping(id);
  if (!m) {
    store_.add_mapping(id, 0, 0, true);
  } else if (!m->dead.exchange(true)) {
    std::vector<Page*> pages;
    store_.each_page([&](Page& p) { if (p.mapping == m) pages.push_back(&p); });
    pins_.remove(key_of(id, 0), key_of(id, kOffsetMask));
    for (auto* p : pages) {
      settle_offer(*p);
      auto w = std::move(p->work);
      if (w) {
        busy_.erase(p);
        if (w->acquiring) acquiring_--;
        if (w->offered_away) {
          offers_out_--;
          offered_bytes_ -= p->size;
        }
        const auto key = p->key;
        refusals_.erase(key);
        store_.release(*p);
        if (w->busy) answer(w->current, EFAULT);
        for (auto& t : w->queue)
          if (t.transfer_to == kNoMember) answer(t, EFAULT);
        for (auto& r : w->readers) finish_part(*r.op, r.index, EFAULT, {});
        for (auto* s : w->watchers) rewatch_.push_back(s->id);
      } else {
        store_.release(*p);
      }
    }
    store_.empty(*m);
  }
  flush_mapping(id);
  std::deque<Stored> again;
  for (auto& shard : shards_) {
    if (!shard.here) continue;
    for (auto at = shard.here->pages.begin(); at != shard.here->pages.end();) {
      if (mapping_of(at->first) != id) { ++at; continue; }
      if (at->second.transfer)
        for (auto& s : at->second.transfer->queue) again.push_back(std::move(s));
      at = shard.here->pages.erase(at);
    }
    forget_waiters(shard.here->sync, id);
  }
  handle_again(again);  // they are answered with EFAULT
}

}  // namespace dmi::memory
