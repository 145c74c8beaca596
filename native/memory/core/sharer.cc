// What a member does with copies of pages it does not own, and with operations that wait on them.
//
// A copy goes through: (fetch in flight) -> valid -> [staged -> valid]* -> dropped. While a write is staged the copy may not
// be read: the owner may already have shown the new bytes to somebody.
#include "messages.h"

namespace dmi::memory {

void EngineImpl::install_copy(Page& p, uint64_t ver, PageFrame* frame) {
  auto& w = work(p);
  // Invalidated, or superseded by a staged write, while it was on its way; or the page itself has come here meanwhile.
  if (p.role == Role::Owned || ver < w.min_ver || (p.role == Role::Copy && ver <= p.ver)) return frame->unref();
  store_.set_frame(p, frame, Role::Copy);
  p.ver = ver;
  while (!w.staged.empty() && w.staged.front().ver <= ver) w.staged.pop_front();
  refresh(p);
  wake_watchers(p);
}

void EngineImpl::drop_copy(Page& p) {
  store_.set_frame(p, nullptr, Role::None);
  if (p.work) {
    p.work->staged.clear();
    wake_watchers(p);
  }
}

void EngineImpl::on(MemberId from, uint64_t, Invalidate& m, Bytes) {
  if (auto* p = store_.find(m.key)) {
    if (p->role == Role::Copy) drop_copy(*p);
    if (p->role != Role::Owned && p->work && p->work->fetches > 0) p->work->min_ver = std::max(p->work->min_ver, m.ver);
    if (p->work) serve_readers(*p);
  }
  send(from, Ack{m.key, m.ver, false});
  if (auto* p = store_.find(m.key)) tidy(*p);
}

void EngineImpl::on(MemberId from, uint64_t, Stage& m, Bytes data) {
  auto* p = store_.find(m.key);
  bool held = false;
  if (p && p->role == Role::Copy) {
    auto& w = work(*p);
    const auto last = w.staged.empty() ? p->ver : w.staged.back().ver;
    if (m.off > static_cast<uint64_t>(p->size) || data.size() > static_cast<uint64_t>(p->size) - m.off)
      return broke_protocol(from, "a write past the end of a page");
    if (m.ver == last + 1) {
      held = true;
      w.staged.push_back({m.ver, m.off, {data.begin(), data.end()}});
      refresh(*p);
      if (m.commit) apply_staged(*p, m.ver);
    } else {
      drop_copy(*p);  // we have missed something; a new read fetches it
    }
  }
  if (p && !held && p->role != Role::Owned && p->work && p->work->fetches > 0) p->work->min_ver = std::max(p->work->min_ver, m.ver);
  send(from, Ack{m.key, m.ver, held});
  if (p && p->work) serve_readers(*p);
  if ((p = store_.find(m.key))) tidy(*p);
}

void EngineImpl::on(MemberId, uint64_t, Commit& m, Bytes) {
  auto* p = store_.find(m.key);
  if (!p || p->role != Role::Copy || !p->work) return;  // dropped since, or superseded
  apply_staged(*p, m.ver);
  serve_readers(*p);
  if ((p = store_.find(m.key))) tidy(*p);
}

// A later commit proves the earlier ones: an owner stages nothing new before the last write is through.
void EngineImpl::apply_staged(Page& p, uint64_t upto) {
  auto& w = *p.work;
  if (w.staged.empty() || w.staged.front().ver > upto) return;
  p.lock.lock();
  auto* bytes = store_.writable(p);
  while (!w.staged.empty() && w.staged.front().ver <= upto) {
    auto& s = w.staged.front();
    std::memcpy(bytes + s.off, s.bytes.data(), s.bytes.size());
    p.ver = s.ver;
    w.staged.pop_front();
  }
  p.lock.unlock();
  refresh(p);
  wake_watchers(p);
}

// Local reads that waited: now they can be served here, or must be sent again, or still wait.
void EngineImpl::serve_readers(Page& p) {
  auto& w = *p.work;
  if (w.readers.empty()) return;
  if (p.role == Role::Copy ? !w.staged.empty() : (p.role == Role::None && w.fetches > 0)) return;
  auto readers = std::move(w.readers);
  w.readers.clear();
  const auto key = p.key;
  for (auto& r : readers) start_part(*r.op, r.index);
  if (auto* q = store_.find(key)) refresh(*q);
}

// ---- Watch -------------------------------------------------------------------------------------------------------------
// Reads the range into `scratch` with caching reads; if it equals what the caller knows, waits at every page of it until
// one changes or goes away, and reads again.
void EngineImpl::start_watch(OpState& s) {
  s.watching = true;
  s.scratch.resize(static_cast<size_t>(s.op->size));
  if (s.parts.empty() && !split(s, s.op->addr, s.op->size, s.scratch.data(), nullptr)) {
    fail_op(s, E2BIG, "the call touches too many pages; split it");
    return complete(s);
  }
  for (auto& p : s.parts) p.done = p.fetch = false;
  s.remaining = static_cast<uint32_t>(s.parts.size()) + 1;
  const auto n = static_cast<uint32_t>(s.parts.size());
  for (uint32_t i = 0; i < n; i++) start_part(s, i);
  if (--s.remaining > 0) return;
  if (s.op && !s.error) check_watch(s);
  else complete(s);
}

void EngineImpl::check_watch(OpState& s) {
  const auto size = static_cast<size_t>(s.op->size);
  if (std::memcmp(s.scratch.data(), s.op->in, size) != 0) {
    if (s.op->out) std::memcpy(s.op->out, s.scratch.data(), size);
    return complete(s);
  }
  // Every page must be here now and still hold these bytes, or a change would go unnoticed.
  for (auto& part : s.parts) {
    auto* p = store_.find(part.key);
    const bool readable = p && (p->role == Role::Owned ? !(p->work && p->work->busy) : p->role == Role::Copy && !(p->work && !p->work->staged.empty()));
    bool same = false;
    if (readable) {
      p->lock.lock();
      same = std::memcmp(p->data + part.off, part.to, part.len) == 0;
      p->lock.unlock();
      if (same) {
        work(*p).watchers.push_back(&s);
        refresh(*p);  // an owner's hot writes go past the engine: not while somebody watches
      }
    }
    if (same && p->role == Role::Owned) {  // a hot write may have come between the comparison and refresh
      p->lock.lock();
      same = std::memcmp(p->data + part.off, part.to, part.len) == 0;
      p->lock.unlock();
    }
    if (!same) {
      stop_watch(s);
      return start_watch(s);
    }
  }
}

void EngineImpl::stop_watch(OpState& s) {
  for (auto& part : s.parts) {
    auto* p = store_.find(part.key);
    if (!p || !p->work) continue;
    std::erase(p->work->watchers, &s);
    refresh(*p);
    tidy(*p);
  }
}

void EngineImpl::wake_watchers(Page& p) {
  if (!p.work || p.work->watchers.empty()) return;
  // Not now: the page is in the middle of something. A frame to ourselves comes back when it is done.
  const auto watchers = std::exchange(p.work->watchers, {});
  for (auto* s : watchers) {
    for (auto& part : s->parts)
      if (auto* q = store_.find(part.key); q && q != &p && q->work) std::erase(q->work->watchers, s);
    rewatch_.push_back(s->id);
  }
}

}  // namespace dmi::memory
