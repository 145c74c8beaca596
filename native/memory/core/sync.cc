// Mutexes, conditions, events and mailboxes at their home.
#include "messages.h"

namespace dmi::memory {

void EngineImpl::reply(MemberId to, uint64_t id, SyncAns::What what, int error, int64_t value, Bytes data, std::vector<uint64_t> except) {
  SyncAns a{what, id, error, value, std::move(except)};
  if (to == self_) return on(self_, view_.epoch(), a, data);
  send(to, a, {data});
}

// The waiter has what it waited for. If it is parked its home keeps that until it resumes.
void EngineImpl::grant(SyncObjects& s, const Waiter& w, int error, int64_t value, Bytes data) {
  if (w.parked) s.held[w.id] = {error, value, {data.begin(), data.end()}};
  else reply(w.at, w.id, SyncAns::Done, error, value, data);
}

void EngineImpl::pass_mutex(SyncObjects& s, uint64_t addr) {
  auto at = s.mutexes.find(addr);
  if (at == s.mutexes.end()) return;
  auto& m = at->second;
  while (!m.queue.empty()) {
    auto w = std::move(m.queue.front());
    m.queue.erase(m.queue.begin());
    if (!w.parked && view_.is_gone(w.at, w.since)) continue;  // died waiting
    m.holder = w.thread;
    return grant(s, w, 0, 0);
  }
  s.mutexes.erase(at);
}

ShardContent* EngineImpl::home_of_name(uint64_t name) {
  const auto shard = shard_of_name(name);
  return view_.home(shard) == self_ ? shards_[shard].here.get() : nullptr;
}

// What needs nobody else and keeps nobody waiting, at its home: a free mutex is taken, or given back while nobody queues; a
// condition is signalled at which nobody waits. The same as serve_sync() would do, without a message to ourselves and back.
// True: the operation has completed, without an error.
bool EngineImpl::serve_at_once(Op& op) {
  if (op.kind < OpKind::MutexLock || op.kind > OpKind::CondBroadcast || op.kind == OpKind::CondWait || op.addr <= 0) return false;
  const auto name = static_cast<uint64_t>(op.addr);
  auto* here = home_of_name(name);
  if (!here) return false;
  const auto* m = store_.mapping(mapping_of(name));
  if (!m || m->dead.load(std::memory_order_relaxed) || (name & kOffsetMask) >= static_cast<uint64_t>(m->bytes())) return false;
  op.value = 0;
  if (op.kind == OpKind::CondSignal || op.kind == OpKind::CondBroadcast) return here->sync.conditions.count(name) == 0;
  if (op.thread == 0) return false;
  auto& mutexes = here->sync.mutexes;
  const auto at = mutexes.find(name);
  if (op.kind == OpKind::MutexUnlock) {
    if (at == mutexes.end() || at->second.holder != op.thread || !at->second.queue.empty()) return false;
    spare_mutex_ = mutexes.extract(at);
    return true;
  }
  if (at != mutexes.end()) return false;
  if (spare_mutex_) {
    spare_mutex_.key() = name;
    spare_mutex_.mapped().holder = op.thread;
    mutexes.insert(std::move(spare_mutex_));
  } else {
    mutexes[name].holder = op.thread;
  }
  op.value = op.kind == OpKind::MutexTryLock;
  return true;
}

static Waiter* find_waiter(std::vector<Waiter>& queue, uint64_t id) {
  for (auto& w : queue)
    if (w.id == id) return &w;
  return nullptr;
}

// Where a waiter of that kind of operation may stand under that name.
static Waiter* find_waiter(SyncObjects& s, OpKind subject, uint64_t name, uint64_t id) {
  const auto in = [&](auto& map) -> Waiter* {
    auto at = map.find(name);
    return at == map.end() ? nullptr : find_waiter(at->second.queue, id);
  };
  switch (subject) {
    case OpKind::MutexLock: return in(s.mutexes);
    case OpKind::CondWait:
      if (auto* w = in(s.conditions)) return w;
      return in(s.mutexes);
    case OpKind::EventWait: return in(s.events);
    case OpKind::MailWait: return in(s.mailboxes);
    case OpKind::Barrier: case OpKind::Allreduce: {
      auto at = s.barriers.find(name);
      return at == s.barriers.end() ? nullptr : find_waiter(at->second.singles, id);
    }
    default: return nullptr;
  }
}

bool EngineImpl::park_waiter(SyncObjects& s, const SyncReq& m) {
  if (auto* w = find_waiter(s, static_cast<OpKind>(m.subject), m.name, m.id)) {
    w->parked = true;
    return true;
  }
  // A barrier arrival that came in a batch leaves it.
  if (auto at = s.barriers.find(m.name); at != s.barriers.end())
    for (auto b = at->second.batches.begin(); b != at->second.batches.end(); ++b)
      if (b->id == m.batch && b->member == m.member && b->count > 0) {
        at->second.singles.push_back({m.id, m.member, true, m.thread, 0, m.since});
        b->except.push_back(m.id);
        if (--b->count == 0) at->second.batches.erase(b);
        return true;
      }
  return false;
}

void EngineImpl::serve_sync(ShardContent& shard, SyncReq& m, Bytes data) {
  auto& s = shard.sync;
  const Waiter self{m.id, m.member, m.parked, m.thread, m.name2, m.since};
  const auto done = [&](int error, int64_t value = 0) { reply(m.member, m.id, SyncAns::Done, error, value); };
  const auto live = [&](const Waiter& w) { return w.parked || !view_.is_gone(w.at, w.since); };
  switch (m.kind) {
    case static_cast<uint8_t>(OpKind::MutexLock):
    case static_cast<uint8_t>(SyncKind::MutexEnqueue): {
      auto& mutex = s.mutexes[m.name];
      if (mutex.holder == 0) {
        mutex.holder = m.thread;
        return grant(s, self, 0, 0);
      }
      if (mutex.holder == m.thread && m.kind == static_cast<uint8_t>(OpKind::MutexLock)) return done(EDEADLK);
      mutex.queue.push_back(self);
      return;
    }
    case static_cast<uint8_t>(OpKind::MutexTryLock): {
      auto& mutex = s.mutexes[m.name];
      const bool locked = mutex.holder == 0;
      if (locked) mutex.holder = m.thread;
      return done(0, locked);
    }
    case static_cast<uint8_t>(OpKind::MutexUnlock): {
      auto at = s.mutexes.find(m.name);
      if (at == s.mutexes.end() || at->second.holder != m.thread) return done(EPERM);
      pass_mutex(s, m.name);
      return done(0);
    }
    case static_cast<uint8_t>(OpKind::CondWait): {
      // First into the queue, then the mutex is released: no signal can fall between.
      s.conditions[m.name].queue.push_back(self);
      SyncReq r;
      r.kind = static_cast<uint8_t>(SyncKind::CondRelease);
      r.id = m.id;
      r.name = m.name2;
      r.name2 = m.name;
      r.thread = m.thread;
      return sync_to_home(r);
    }
    case static_cast<uint8_t>(SyncKind::CondRelease): {
      auto at = s.mutexes.find(m.name);
      if (at != s.mutexes.end() && at->second.holder == m.thread) return pass_mutex(s, m.name);
      SyncReq r = m;
      r.kind = static_cast<uint8_t>(SyncKind::CondReject);
      std::swap(r.name, r.name2);
      return sync_to_home(r);
    }
    case static_cast<uint8_t>(SyncKind::CondReject): {
      auto at = s.conditions.find(m.name);
      if (at == s.conditions.end()) return;
      auto* w = find_waiter(at->second.queue, m.id);
      if (!w) return;
      const auto copy = *w;
      at->second.queue.erase(at->second.queue.begin() + (w - at->second.queue.data()));
      if (at->second.queue.empty()) s.conditions.erase(at);
      return grant(s, copy, EPERM, 0);
    }
    case static_cast<uint8_t>(OpKind::CondSignal):
    case static_cast<uint8_t>(OpKind::CondBroadcast): {
      std::vector<Waiter> woken;
      if (auto at = s.conditions.find(m.name); at != s.conditions.end()) {
        auto& queue = at->second.queue;
        std::erase_if(queue, [&](auto& w) { return !live(w); });
        const size_t n = m.kind == static_cast<uint8_t>(OpKind::CondSignal) ? std::min<size_t>(1, queue.size()) : queue.size();
        woken.assign(queue.begin(), queue.begin() + static_cast<ptrdiff_t>(n));
        queue.erase(queue.begin(), queue.begin() + static_cast<ptrdiff_t>(n));
        if (queue.empty()) s.conditions.erase(at);
      }
      // They do not wake up to fight for the mutex: they go and queue there.
      for (auto& w : woken) {
        SyncReq r;
        r.kind = static_cast<uint8_t>(SyncKind::MutexEnqueue);
        r.id = w.id;
        r.member = w.at;
        r.since = w.since;
        r.parked = w.parked;
        r.thread = w.thread;
        r.name = w.mutex;
        sync_to_home(r);
      }
      return done(0);
    }
    case static_cast<uint8_t>(OpKind::Barrier):
    case static_cast<uint8_t>(OpKind::Allreduce):
      return arrive(s, m, data);
    case static_cast<uint8_t>(OpKind::ObjectDestroy): {
      const auto mutex = s.mutexes.find(m.name);
      const auto condition = s.conditions.find(m.name);
      const bool busy = (mutex != s.mutexes.end() && (mutex->second.holder || !mutex->second.queue.empty())) || condition != s.conditions.end() || s.barriers.count(m.name);
      if (busy) return done(EBUSY);
      if (mutex != s.mutexes.end()) s.mutexes.erase(mutex);
      return done(0);
    }
    case static_cast<uint8_t>(OpKind::EventSet): {
      auto& e = s.events[m.name];
      e.set = true;
      e.value = m.value;
      auto waiters = std::move(e.queue);
      if (e.dropped || !waiters.empty()) s.events.erase(m.name);
      for (auto& w : waiters) grant(s, w, 0, m.value);
      return done(0);
    }
    case static_cast<uint8_t>(OpKind::EventWait): {
      auto& e = s.events[m.name];
      if (!e.set) {
        e.queue.push_back(self);
        return;
      }
      const auto value = e.value;
      s.events.erase(m.name);
      return grant(s, self, 0, value);
    }
    case static_cast<uint8_t>(OpKind::EventDrop): {
      auto& e = s.events[m.name];
      if (e.set) s.events.erase(m.name);
      else e.dropped = true;
      return done(0);
    }
    case static_cast<uint8_t>(OpKind::MailWait):
      s.mailboxes[m.name].queue.push_back(self);
      return;
    case static_cast<uint8_t>(OpKind::MailPost): {
      bool taken = false;
      if (auto at = s.mailboxes.find(m.name); at != s.mailboxes.end()) {
        std::erase_if(at->second.queue, [&](auto& w) { return !live(w); });
        Waiter w;
        if (!at->second.queue.empty()) {
          w = at->second.queue.front();
          at->second.queue.erase(at->second.queue.begin());
          taken = true;
        }
        if (at->second.queue.empty()) s.mailboxes.erase(at);
        if (taken) grant(s, w, 0, 0, data);
      }
      return done(0, taken);
    }
    case static_cast<uint8_t>(SyncKind::Park):
      return reply(m.member, m.id, park_waiter(s, m) ? SyncAns::Parked : SyncAns::Unknown, 0, 0);
    case static_cast<uint8_t>(SyncKind::Resume): {
      if (auto at = s.held.find(m.id); at != s.held.end()) {
        const auto held = std::move(at->second);
        s.held.erase(at);
        return reply(m.member, m.id, SyncAns::Done, held.error, held.value, held.data);
      }
      if (auto* w = find_waiter(s, static_cast<OpKind>(m.subject), m.name, m.id)) {
        w->at = m.member;
        w->since = m.since;
        w->parked = false;
        return reply(m.member, m.id, SyncAns::Resumed, 0, 0);
      }
      return reply(m.member, m.id, SyncAns::Unknown, 0, 0);
    }
    default:
      log(40, text("member %d asked for synchronisation of unknown kind %d", m.member, m.kind));
  }
}

void EngineImpl::on(MemberId from, uint64_t, SyncReq& m, Bytes data) {
  const bool allreduce = m.kind == static_cast<uint8_t>(OpKind::Allreduce);
  if (m.member < kNoMember || (allreduce && data.size() != 8 * static_cast<size_t>(m.count))) return broke_protocol(from, "a malformed synchronisation request");
  serve_sync(*shards_[shard_of_name(m.name)].here, m, data);
}

// The mapping is gone: whoever waits at an object in it goes on with an error.
void EngineImpl::forget_waiters(SyncObjects& s, uint32_t mapping) {
  std::vector<Waiter> waiters;
  const auto sweep = [&](auto& map) {
    for (auto at = map.begin(); at != map.end();) {
      if (mapping_of(at->first) != mapping) { ++at; continue; }
      waiters.insert(waiters.end(), at->second.queue.begin(), at->second.queue.end());
      at = map.erase(at);
    }
  };
  sweep(s.mutexes);
  sweep(s.conditions);
  std::vector<ArrivalBatch> batches;
  for (auto at = s.barriers.begin(); at != s.barriers.end();) {
    if (mapping_of(at->first) != mapping) { ++at; continue; }
    waiters.insert(waiters.end(), at->second.singles.begin(), at->second.singles.end());
    batches.insert(batches.end(), at->second.batches.begin(), at->second.batches.end());
    at = s.barriers.erase(at);
  }
  for (auto& w : waiters) grant(s, w, EINVAL, 0);
  for (auto& b : batches) reply(b.member, b.id, SyncAns::Release, EINVAL, b.count, {}, b.except);
}

}  // namespace dmi::memory
