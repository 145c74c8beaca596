// The waiting side of synchronisation: what a member asks of an object's home, and how a waiter is parked and resumed.
//
// Parking. The home keeps the place of a waiter; only it can say whether the waiter still waits. So Park and Resume are
// questions to the home: Parked / Resumed when it knows the waiter, Unknown when not. Unknown means that something is
// still in flight: the grant to us, the original request, or the waiter's way from a condition to its mutex. We ask again
// until one side has arrived. An operation is only given back as parked after the home has agreed.
#include "messages.h"

namespace dmi::memory {

static bool by_thread(OpKind k) {
  return k == OpKind::EventWait || k == OpKind::EventDrop || k == OpKind::EventSet || k == OpKind::MailWait || k == OpKind::MailPost;
}
static uint64_t name_of(const Op& op) {
  if (op.kind == OpKind::MailWait) return op.thread;
  return by_thread(op.kind) ? op.target : static_cast<uint64_t>(op.addr);
}

std::string EngineImpl::sync_error(const Op& op, int error) {
  const auto name = static_cast<unsigned long long>(name_of(op));
  switch (error) {
    case EPERM: return text("the calling thread does not hold the mutex at 0x%llx", static_cast<unsigned long long>(op.kind == OpKind::CondWait ? op.addr2 : op.addr));
    case EDEADLK: return text("the calling thread already holds the mutex at 0x%llx", name);
    case EBUSY: return text("threads wait at the object at 0x%llx; it cannot be destroyed", name);
    case EINVAL: return text("the call does not fit the others that wait at 0x%llx (or its mapping is gone)", name);
    default: return text("the object at 0x%llx refused: error %d", name, error);
  }
}

void EngineImpl::start_sync(Op* op) {
  if (op->thread == 0 && (op->kind == OpKind::MutexLock || op->kind == OpKind::MutexTryLock || op->kind == OpKind::MutexUnlock || op->kind == OpKind::CondWait))
    return complete_now(op, EINVAL, "locks belong to threads: the call must name its thread");
  if (op->kind == OpKind::MailPost && (op->in_size < 0 || op->in_size > (1ll << 30)))
    return complete_now(op, EMSGSIZE, "a wake-up carries 0 to 1 GiB");
  auto& s = new_state(op);
  if (is_long(op->kind)) op->waiter = s.id;
  SyncReq r;
  r.kind = static_cast<uint8_t>(op->kind);
  r.member = self_;
  r.since = view_.epoch();
  r.id = s.id;
  r.name = name_of(*op);
  r.name2 = static_cast<uint64_t>(op->addr2);
  r.thread = op->thread;
  r.value = op->value;
  Bytes data;
  if (op->kind == OpKind::MailPost) data = {op->in, static_cast<size_t>(op->in ? op->in_size : 0)};
  sync_to_home(r, data);
}

void EngineImpl::sync_to_home(SyncReq& m, Bytes data) {
  if (auto* here = home_of_name(m.name)) return serve_sync(*here, m, data);
  to_home(shard_of_name(m.name), m, data);
}

void EngineImpl::finish_sync(OpState& s, int error, int64_t value, Bytes data) {
  auto* op = s.op;
  if (error) {
    fail_op(s, error, sync_error(*op, error));
  } else {
    op->value = value;
    if (op->kind == OpKind::MailWait) {
      if (op->out && op->out_size > 0) std::memcpy(op->out, data.data(), std::min(data.size(), static_cast<size_t>(op->out_size)));
      op->value = static_cast<int64_t>(data.size());
    } else if (op->kind == OpKind::Allreduce && op->out) {
      std::memcpy(op->out, data.data(), std::min(data.size(), reduce_size(op->reduce_type)));
    }
  }
  if (s.batch) {
    if (auto at = batches_out_.find(s.batch); at != batches_out_.end()) {
      std::erase(at->second, &s);
      if (at->second.empty()) batches_out_.erase(at);
    }
  }
  complete(s);
}

void EngineImpl::on(MemberId from, uint64_t, SyncAns& m, Bytes data) {
  if (m.what == SyncAns::Release) return released(m, data);
  auto* s = state(m.id);
  if (!s || !s->op) return;  // parked or granted meanwhile
  if (static_cast<uint8_t>(s->op->kind) < static_cast<uint8_t>(OpKind::MutexLock)) return broke_protocol(from, "an answer nobody waits for");
  switch (m.what) {
    case SyncAns::Done:
      if (s->op->kind == OpKind::Allreduce && !m.error && data.size() != 8) return broke_protocol(from, "an answer of the wrong length");
      return finish_sync(*s, m.error, m.value, data);
    case SyncAns::Parked:
      if (s->parking) complete_parked(*s, true);
      return;
    case SyncAns::Resumed:
      s->resuming = false;
      if (s->park_wanted) {
        s->park_wanted = false;
        s->parking = true;
        send_park(*s, SyncKind::Park);
      }
      return;
    case SyncAns::Unknown:
      if (!s->parking && !s->resuming) return;
      if (s->op->kind == OpKind::CondWait) s->morphed = !s->morphed;
      // Our own home has looked under both names: what it lacks must arrive from elsewhere first.
      if (from == self_ && ++s->tries % 3 == 0) retry_parks_.push_back(s->id);
      else send_park(*s, s->parking ? SyncKind::Park : SyncKind::Resume);
      return;
    default:
      return broke_protocol(from, "an answer of unknown kind");
  }
}

void EngineImpl::retry_parks() {
  auto ids = std::move(retry_parks_);
  retry_parks_.clear();
  for (auto id : ids)
    if (auto* s = state(id); s && (s->parking || s->resuming)) send_park(*s, s->parking ? SyncKind::Park : SyncKind::Resume);
}

void EngineImpl::send_park(OpState& s, SyncKind kind) {
  SyncReq r;
  r.kind = static_cast<uint8_t>(kind);
  r.subject = static_cast<uint8_t>(s.op->kind);
  r.member = self_;
  r.since = view_.epoch();
  r.id = s.id;
  r.batch = s.batch;
  r.name = s.morphed ? static_cast<uint64_t>(s.op->addr2) : name_of(*s.op);
  sync_to_home(r);
}

void EngineImpl::complete_parked(OpState& s, bool keep_place) {
  auto* op = s.op;
  if (!keep_place) op->waiter = 0;
  op->parked = true;
  op->error = 0;
  op->engine = nullptr;
  if (s.batch) {
    if (auto at = batches_out_.find(s.batch); at != batches_out_.end()) {
      std::erase(at->second, &s);
      if (at->second.empty()) batches_out_.erase(at);
    }
  }
  out_->done.push_back(op);
  if (s.remaining > 0) s.op = nullptr;  // (Watch) reads are still under way: their answers find it empty
  else ops_.erase(s.id);
}

}  // namespace dmi::memory
