// What guests ask for through the gate, worker side: engine operations, asynchronous handles, threads, nodes.
#include <errno.h>
#include <string.h>

#include <algorithm>

#include "host.h"
#include "moves.h"
#include "platform.h"

namespace dmi::host {
namespace {

using memory::OpKind;

// Whether the guest may be given (or asked for) these bytes: mapped, and readable or writable. A bad pointer must not
// reach the engine, whose other threads would fault on it.
bool usable(const Guest& g, const void* p, int64_t size, bool write) {
  if (size == 0) return true;
  if (size < 0 || !p) return false;
  const auto start = reinterpret_cast<uint64_t>(p);
  const uint64_t end = start + static_cast<uint64_t>(size);
  if (end < start) return false;
  for (uint64_t at = start; at < end;) {
    const Area* a = g.space.find(at);
    if (!a || !(a->prot & (write ? 2 : 1))) return false;
    at = a->end;
  }
  return true;
}

// Bytes that may be written from `p` on, at most `limit`: for calls that take whatever comes (DMI_suspend).
int64_t writable_from(const Guest& g, const void* p, int64_t limit) {
  const auto start = reinterpret_cast<uint64_t>(p);
  uint64_t at = start;
  while (at - start < static_cast<uint64_t>(limit)) {
    const Area* a = g.space.find(at);
    if (!a || !(a->prot & 2)) break;
    at = a->end;
  }
  return std::min<int64_t>(limit, static_cast<int64_t>(at - start));
}

template <class T>
bool usable(const Guest& g, const T* p, bool write = true) { return usable(g, p, sizeof *p, write); }

int64_t element_size(int32_t type) {
  switch (type) {
    case 20: return 1;
    case 21: return 2;
    case 22: case 25: return 4;
    case 23: case 24: case 26: return 8;
    default: return 0;
  }
}

bool known_kind(uint32_t kind) {
  return (kind >= 1 && kind <= 11) || (kind >= 16 && kind <= 28);
}

}  // namespace

int64_t Host::fail(Guest& g, int error, std::string sentence) {
  g.error_text = std::move(sentence);
  return -error;
}

Next Host::gate_call(Worker& w, Guest& g, int64_t nr, void* args) {
  auto result = [&](int64_t r) { return g.context.result = r, Next::Continue; };
  auto bad_pointer = [&] { return result(fail(g, EFAULT, "the argument block is not in the thread's memory")); };
  switch (nr) {
    case DMI_G_YIELD: g.context.result = 0; return Next::Yield;
    case DMI_G_ROLE: {
      auto* a = static_cast<dmi_gate_role*>(args);
      if (!usable(g, a)) return bad_pointer();
      *a = {g.role, g.rank, g.count, 0, g.arg};
      return result(0);
    }
    case DMI_G_RESULT:
      if (!usable(g, static_cast<int64_t*>(args), false)) return bad_pointer();
      g.result = *static_cast<int64_t*>(args);
      return result(0);
    case DMI_G_ERROR: {
      auto* a = static_cast<dmi_gate_text*>(args);
      if (!usable(g, a) || a->size <= 0 || !usable(g, a->buf, a->size, true)) return bad_pointer();
      const size_t n = std::min(g.error_text.size(), static_cast<size_t>(a->size - 1));
      memcpy(a->buf, g.error_text.data(), n);
      a->buf[n] = 0;
      return result(0);
    }
    case DMI_G_OP: {
      auto* a = static_cast<dmi_gate_op*>(args);
      return usable(g, a) ? operate(g, a) : bad_pointer();
    }
    case DMI_G_CHECK:
    case DMI_G_WAIT: {
      auto* a = static_cast<dmi_gate_wait*>(args);
      return usable(g, a) ? wait_handle(g, a, nr == DMI_G_WAIT) : bad_pointer();
    }
    case DMI_G_CREATE: {
      auto* a = static_cast<dmi_gate_create*>(args);
      return usable(g, a) ? create(g, a) : bad_pointer();
    }
    case DMI_G_SELF: {
      auto* a = static_cast<dmi_gate_thread*>(args);
      if (!usable(g, a)) return bad_pointer();
      *a = {g.dmi_id(), g.thread_id()};
      return result(0);
    }
    case DMI_G_MIGRATE: {
      auto* a = static_cast<dmi_gate_migrate*>(args);
      return usable(g, a) ? migrate(g, a) : bad_pointer();
    }
    case DMI_G_NODES: {
      auto* a = static_cast<dmi_gate_nodes*>(args);
      if (!usable(g, a) || a->capacity < 0 || !usable(g, a->array, a->capacity * static_cast<int64_t>(sizeof(dmi_gate_node)), true))
        return bad_pointer();
      return result(nodes(a));
    }
    case DMI_G_EXPORT: case DMI_G_WITHDRAW: case DMI_G_IMPORT: case DMI_G_GIVE_BACK: {
      auto* a = static_cast<dmi_gate_share*>(args);
      g.pins_changed = true;
      return usable(g, a) ? share(g, nr, a) : bad_pointer();
    }
    case DMI_G_READY: warm_.take_snapshot(g); return result(0);
    case DMI_G_SERVE: {
      auto* a = static_cast<dmi_gate_function*>(args);
      return usable(g, a) ? serve_function(g, a) : bad_pointer();
    }
    default: break;
  }
  (void)w;
  return result(fail(g, ENOSYS, "unknown gate call " + std::to_string(nr) + ": the program was built for a newer DMI"));
}

// ---- engine operations -----------------------------------------------------------------------------------------------

bool Host::fill_operation(Guest& g, const dmi_gate_op& a, Pending& p, int64_t& error) {
  auto reject = [&](int e, const char* why) { return error = fail(g, e, why), false; };
  if (!known_kind(a.kind)) return reject(ENOSYS, "unknown operation: the program was built for a newer DMI");
  memory::Op& op = p.op;
  op = {};
  op.kind = static_cast<OpKind>(a.kind);
  op.mode = static_cast<memory::Mode>(a.mode);
  op.reduce_op = static_cast<memory::ReduceOp>(a.op);
  op.reduce_type = static_cast<memory::ReduceType>(a.type);
  op.tag = a.tag;
  op.pnum = a.count;
  op.addr = a.addr;
  op.addr2 = a.addr2;
  op.size = a.size;
  op.value = a.value;
  op.in = static_cast<const std::byte*>(a.in);
  op.in2 = static_cast<const std::byte*>(a.in2);
  op.out = static_cast<std::byte*>(a.out);
  op.in_size = a.in_size;
  op.out_size = a.out_size;
  op.thread = g.key;
  op.target = static_cast<ThreadKey>(static_cast<uint32_t>(a.thread.dmi_id)) << 32 | static_cast<uint32_t>(a.thread.thread_id);
  op.user = &p;
  p.pieces.clear();
  const char* bad = "a buffer of the call is not in the thread's memory";
  switch (op.kind) {
    case OpKind::Read:
    case OpKind::Write: {
      if (a.count < 0) return reject(EINVAL, "a negative number of pieces");
      if (!usable(g, a.pieces, a.count * static_cast<int64_t>(sizeof(dmi_gate_piece)), false)) return reject(EFAULT, bad);
      p.pieces.reserve(static_cast<size_t>(a.count));
      const bool read = op.kind == OpKind::Read;
      for (int32_t i = 0; i < a.count; i++) {
        const dmi_gate_piece& s = a.pieces[i];
        if (s.size < 0) return reject(EINVAL, "a piece of negative size");
        if (!usable(g, s.ptr, s.size, read)) return reject(EFAULT, bad);
        p.pieces.push_back({s.addr, s.size, static_cast<std::byte*>(s.ptr)});
      }
      op.pieces = p.pieces;
      return true;
    }
    case OpKind::Cas:
      if (!usable(g, a.in, a.size, false) || !usable(g, a.in2, a.size, false)) return reject(EFAULT, bad);
      return true;
    case OpKind::Fas:
      if (!usable(g, a.in, a.size, false) || !usable(g, a.out, a.size, true)) return reject(EFAULT, bad);
      return true;
    case OpKind::Watch:
      if (!usable(g, a.in, a.size, false) || !usable(g, a.out, a.size, true)) return reject(EFAULT, bad);
      return true;
    case OpKind::MailWait:
      if (a.out_size < 0) return reject(EINVAL, "a negative size");
      op.out_size = a.out ? writable_from(g, a.out, a.out_size) : 0;
      return true;
    case OpKind::Function:
    case OpKind::MailPost:
      if (!usable(g, a.in, a.in_size, false) || !usable(g, a.out, a.out_size, true)) return reject(EFAULT, bad);
      return true;
    case OpKind::Allreduce: {
      const int64_t n = element_size(a.type);
      if (n == 0) return reject(EINVAL, "an unknown type of allreduce");
      if (!usable(g, a.in, n, false) || !usable(g, a.out, n, true)) return reject(EFAULT, bad);
      op.in_size = op.out_size = n;
      return true;
    }
    default: return true;
  }
}

Next Host::operate(Guest& g, dmi_gate_op* args) {
  const bool async = args->flags & DMI_GF_ASYNC;
  std::unique_ptr<Pending> fresh;
  if (async || !g.pending) fresh = std::make_unique<Pending>();
  Pending& p = fresh ? *fresh : *g.pending;
  p.guest = &g;
  p.args = async ? nullptr : args;
  p.handle = 0;
  p.done = false;
  p.message.clear();
  int64_t error = 0;
  if (!fill_operation(g, *args, p, error)) return g.context.result = error, Next::Continue;
  if (async) {
    g.lock.lock();
    args->handle = p.handle = g.next_handle++;
    g.async.push_back(std::move(fresh));
    g.lock.unlock();
    if (member_->submit(&p.op)) finish_pending(p);
    g.context.result = 0;
    return Next::Continue;
  }
  if (fresh) g.pending = std::move(fresh);
  g.lock.lock();
  g.submitting = true;
  g.in_operation = true;
  p.park_sent = false;
  g.completed = false;
  g.lock.unlock();
  if (member_->submit(&p.op)) {
    g.lock.lock();
    g.submitting = false;
    g.in_operation = false;
    g.lock.unlock();
    finish_pending(p);
    return Next::Continue;
  }
  return block(g);
}

// Writes what the operation gave to where the guest wants it. The guest is not running (or is the caller's).
void Host::finish_pending(Pending& p) {
  Guest& g = *p.guest;
  p.result = p.op.error ? -p.op.error : 0;
  if (p.op.error) p.message = p.op.message;
  if (p.handle) {
    // Once `done` is seen under the lock, the guest may release the handle: nothing touches p after that.
    std::lock_guard hold(g.lock);
    p.done = true;
    return;
  }
  if (p.op.error) g.error_text = p.message;
  p.args->value = p.op.value;
  g.context.result = p.result;
}

Next Host::wait_handle(Guest& g, dmi_gate_wait* args, bool block) {
  std::lock_guard hold(g.lock);
  g.context.result = 0;
  for (auto it = g.async.begin(); it != g.async.end(); ++it) {
    Pending& p = **it;
    if (p.handle != args->handle) continue;
    if (p.done) {
      args->done = 1;
      args->result = p.result;
      args->value = p.op.value;
      if (p.result < 0) g.error_text = p.message;
      if (block) g.async.erase(it);  // only DMI_G_WAIT releases the handle
    } else if (block) {
      g.waiting = args;
      g.state = State::Blocked;
      return Next::Gone;
    } else {
      args->done = 0;
    }
    return Next::Continue;
  }
  g.context.result = fail(g, EINVAL, "the status names no operation in flight: it was waited for already, or never started");
  return Next::Continue;
}

void Host::operation_done(memory::Op* op) {
  auto* p = static_cast<Pending*>(op->user);
  if (!p) {  // the host's own (EventSet)
    delete op;
    return;
  }
  Guest& g = *p->guest;
  if (op->parked) {
    g.lock.lock();
    const bool wanted = g.pause_wanted;
    p->park_sent = false;
    if (wanted) {
      if (!p->handle) {
        g.state = State::Paused;
        g.rest = Rest::Resume;
      }
    }
    g.lock.unlock();
    if (wanted) scheduler_.on_paused(g);
    else resume_operation(*p);  // the mover gave up meanwhile
    return;
  }
  if (p->handle) return asynchronous_done(*p);
  finish_pending(*p);
  g.lock.lock();
  g.in_operation = false;
  if (g.submitting) {
    g.completed = true;
    g.lock.unlock();
    return;
  }
  const bool paused = g.pause_wanted;
  g.state = paused ? State::Paused : State::Ready;
  g.rest = Rest::Run;
  g.lock.unlock();
  if (paused) scheduler_.on_paused(g);
  else scheduler_.make_ready(g);
}

// The guest may be running, and may release the handle as soon as it can see `done`: everything about p happens in one
// critical section.
void Host::asynchronous_done(Pending& p) {
  Guest& g = *p.guest;
  g.lock.lock();
  p.result = p.op.error ? -p.op.error : 0;
  if (p.op.error) p.message = p.op.message;
  p.done = true;
  if (g.state == State::Done) {  // ended with operations under way: the last one lets it go
    const bool last = std::all_of(g.async.begin(), g.async.end(), [](const auto& q) { return q->done; });
    const ThreadKey key = g.key;
    g.lock.unlock();
    if (last) forget(key);
    return;
  }
  const bool awaited = g.waiting && g.waiting->handle == p.handle;
  if (awaited && (g.state == State::Blocked || (g.state == State::Paused && g.rest == Rest::Wait))) {
    dmi_gate_wait* args = g.waiting;
    g.waiting = nullptr;
    args->done = 1;
    args->result = p.result;
    args->value = p.op.value;
    if (p.result < 0) g.error_text = p.message;
    g.async.remove_if([&](const auto& q) { return q.get() == &p; });
    if (g.state == State::Paused) g.rest = Rest::Run;
    const bool blocked = g.state == State::Blocked;
    g.lock.unlock();
    if (blocked) wake(g, 0);
    else scheduler_.on_paused(g);
    return;
  }
  const bool paused = g.pause_wanted;
  g.lock.unlock();
  if (paused) scheduler_.on_paused(g);
}

void Host::resume_operation(Pending& p) {
  p.op.parked = false;
  if (member_->resume(&p.op)) operation_done(&p.op);
  else member_->flush();  // not a worker: nobody else would send a barrier arrival on
}

Next Host::block(Guest& g) {
  g.lock.lock();
  g.submitting = false;
  if (g.completed) {
    g.completed = false;
    g.lock.unlock();
    return Next::Continue;
  }
  g.state = State::Blocked;
  const bool paused = g.pause_wanted;
  g.lock.unlock();
  if (paused) scheduler_.on_paused(g);  // the mover parks or waits
  return Next::Gone;
}

void Host::wake(Guest& g, int64_t result) {
  g.lock.lock();
  g.context.result = result;
  if (g.submitting) {
    g.completed = true;
    g.lock.unlock();
    return;
  }
  const bool paused = g.pause_wanted;
  g.state = paused ? State::Paused : State::Ready;
  g.rest = Rest::Run;
  g.lock.unlock();
  if (paused) scheduler_.on_paused(g);
  else scheduler_.make_ready(g);
}

// ---- memory shared between threads of this host ----------------------------------------------------------------------

Next Host::share(Guest& g, int64_t nr, dmi_gate_share* a) {
  const auto done = [&](const Sharing::Answer& answer) {
    g.context.result = answer.error ? fail(g, answer.error, answer.why) : 0;
    return Next::Continue;
  };
  if (nr == DMI_G_GIVE_BACK) return done(sharing_.give_back(g, a->ptr));
  std::string name;
  if (!Sharing::name_of(g, a->name, name)) return done({EFAULT, "the name is not in the thread's memory"});
  if (nr == DMI_G_EXPORT) return done(sharing_.export_memory(g, name, a->ptr, a->size));
  if (nr == DMI_G_WITHDRAW) return done(sharing_.withdraw(g, name));
  const auto key = static_cast<ThreadKey>(static_cast<uint32_t>(a->thread.dmi_id)) << 32 | static_cast<uint32_t>(a->thread.thread_id);
  SharedMemory memory;
  const Sharing::Answer answer = sharing_.import_memory(g, find(key), thread_name(key), name, memory);
  if (!answer.error) a->ptr = memory.start, a->size = memory.size;
  return done(answer);
}

// ---- nodes -----------------------------------------------------------------------------------------------------------

int64_t Host::nodes(dmi_gate_nodes* a) {
  std::lock_guard hold(peers_mutex_);
  a->rank = -1;
  int32_t n = 0;
  for (const Peer& p : peers_) {
    if (p.info.state == memory::MemberState::Lite) continue;
    const bool self = p.node == config_.node && a->rank < 0;
    if (self) a->rank = p.info.id;
    if (n < a->capacity) {
      dmi_gate_node& d = a->array[n];
      memset(&d, 0, sizeof d);
      d.state = p.info.state == memory::MemberState::Draining ? 22 : 21;
      d.dmi_id = p.info.id;
      d.core = p.info.cores;
      d.self = self;
      d.memory = p.info.pool;
      snprintf(d.hostname, sizeof d.hostname, "%s", p.info.hostname.c_str());
    }
    n++;
  }
  if (a->rank < 0) a->rank = config_.member;
  return n;
}

}  // namespace dmi::host
