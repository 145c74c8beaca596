// What guests ask for through the gate, worker side: engine operations, asynchronous handles, threads, nodes.
#include <errno.h>
#include <string.h>

#include <algorithm>
#include <chrono>
#include <thread>

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

// ---- calls that another host answers ------------------------------------------------------------------------------------
// Gate calls that another host of the job answers: starting a thread there, moving one that is there.
//
//   asker                                 answerer
//   kStart  (what to start)       ->      starts it
//                                 <-      kStarted (its name, or why not)
//   kMove   (thread, destination) ->      to every member, as only the one that has the thread knows that
//                                 <-      kMoved (not here | moved | why not)
//
// A member that leaves the view before it has answered counts as one that says no. A thread on its way between two members is
// at neither: the asker asks again until it is found, for as long as a move may take.

namespace {

enum AppMessage : uint8_t { kStart = 1, kStarted = 2, kMove = 3, kMoved = 4 };
enum Found : uint8_t { kNotHere = 0, kDone = 1, kFailed = 2 };
constexpr int kSearches = 40;
constexpr auto kSearchPause = std::chrono::milliseconds(25);

ThreadKey key_of(const dmi_gate_thread& t) {
  return static_cast<ThreadKey>(static_cast<uint32_t>(t.dmi_id)) << 32 | static_cast<uint32_t>(t.thread_id);
}

int error_of(const std::string& code) { return code == "unreachable" ? EHOSTUNREACH : EBUSY; }

StartRequest request_of(const dmi_gate_create& a, const std::string& by) {
  StartRequest r;
  r.role = a.role, r.rank = a.rank, r.count = a.count, r.arg = a.arg, r.stack = a.stack_size;
  r.joinable = true;
  r.by = by;
  return r;
}

// Before the guest's call is sent out: it may be answered before the guest is at rest.
void about_to_block(Guest& g) {
  g.lock.lock();
  g.submitting = true;
  g.completed = false;
  g.lock.unlock();
}

}  // namespace

memory::MemberId Host::choose_member() {
  // Round robin, each member as often as it has cores.
  std::lock_guard hold(peers_mutex_);
  int64_t total = 0;
  for (const Peer& p : peers_)
    if (p.info.state == memory::MemberState::Active) total += std::max(1, p.info.cores);
  if (total == 0) return config_.member;
  // Interleaved: turn k gives the k-th core of every member before the (k+1)-th of any.
  uint64_t turn = next_choice_++ % static_cast<uint64_t>(total);
  for (int core = 0;; core++)
    for (const Peer& p : peers_) {
      if (p.info.state != memory::MemberState::Active || std::max(1, p.info.cores) <= core) continue;
      if (turn-- == 0) return p.info.id;
    }
}

bool Host::has_node(memory::MemberId id) const {
  std::lock_guard hold(peers_mutex_);
  return std::any_of(peers_.begin(), peers_.end(), [&](const Peer& p) { return p.info.id == id && p.info.state != memory::MemberState::Lite; });
}

// ---- asking ----------------------------------------------------------------------------------------------------------

Next Host::create(Guest& g, dmi_gate_create* a) {
  auto result = [&](int64_t r) { return g.context.result = r, Next::Continue; };
  if (a->role != DMI_ROLE_THREAD && a->role != DMI_ROLE_SCALEUNIT) return result(fail(g, EINVAL, "an unknown role for a new thread"));
  const memory::MemberId to = a->dmi_id == -1 ? choose_member() : a->dmi_id;
  if (to == config_.member) {
    try {
      const auto fresh = start_guest(request_of(*a, g.name()));
      a->created = {fresh->dmi_id(), fresh->thread_id()};
      return result(0);
    } catch (const Error& e) {
      return result(fail(g, e.code == "bad-program" ? ENOEXEC : ENOMEM, e.what()));
    }
  }
  about_to_block(g);
  uint64_t id;
  {
    // Under the lock that view changes take, so that the member's leaving is noticed.
    std::scoped_lock hold(peers_mutex_, questions_mutex_);
    const bool known = std::any_of(peers_.begin(), peers_.end(), [&](const Peer& p) { return p.info.id == to && p.info.state != memory::MemberState::Lite; });
    if (!known) {
      g.submitting = false;
      return result(fail(g, ESRCH, "there is no node " + std::to_string(to) + " in this job (DMI_nodes lists them)"));
    }
    id = next_question_++;
    Question& q = questions_[id];
    q.guest = &g;
    q.create = a;
    q.unanswered = {to};
  }
  ask_for_thread(to, id, *a, g.name());
  return block(g);
}

void Host::ask_for_thread(memory::MemberId to, uint64_t question, const dmi_gate_create& a, const std::string& by) {
  Writer w;
  w.num<uint8_t>(kStart);
  w.num(question);
  w.num(a.role), w.num(a.rank), w.num(a.count), w.num(a.arg), w.num(a.stack_size);
  w.text(by);
  member_->send_app(to, w.view());
}

// The node asked for a thread is leaving: if any will do, another one is asked once this host knows of the change.
void Host::create_elsewhere(uint64_t question) {
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const memory::MemberId to = choose_member();
  Question q;
  {
    std::lock_guard hold(questions_mutex_);
    const auto it = questions_.find(question);
    if (it == questions_.end()) return;
    it->second.unanswered = {to};
    q = it->second;
    if (to == config_.member) questions_.erase(it);
  }
  if (to != config_.member) return ask_for_thread(to, question, *q.create, q.guest->name());
  int64_t result = 0;
  try {
    const auto fresh = start_guest(request_of(*q.create, q.guest->name()));
    q.create->created = {fresh->dmi_id(), fresh->thread_id()};
  } catch (const Error& e) {
    result = fail(*q.guest, ENOMEM, e.what());
  }
  wake(*q.guest, result);
}

Next Host::migrate(Guest& g, dmi_gate_migrate* a) {
  a->migrated = 0;
  const ThreadKey key = key_of(a->thread);
  if (key == g.key) {
    if (a->dmi_id == config_.member) return a->migrated = 1, g.context.result = 0, Next::Continue;
    // The caller is at rest already. What it will see is written before its memory goes over; release() takes it back
    // if it stays.
    a->migrated = 1;
    g.context.result = 0;
    g.self_move = a;
    g.lock.lock();
    g.pause_wanted = true;
    g.state = State::Paused;
    g.rest = Rest::Run;
    g.lock.unlock();
    moves().request(key, a->dmi_id, [this, key](const MoveOutcome& o) { if (o.ok) moves().report(nullptr, key, o); }, true);
    return Next::Gone;
  }
  if (!has_node(a->dmi_id)) {
    g.context.result = fail(g, ESRCH, "there is no node " + std::to_string(a->dmi_id) + " in this job (DMI_nodes lists them)");
    return Next::Continue;
  }
  about_to_block(g);
  uint64_t id;
  {
    std::lock_guard hold(questions_mutex_);
    id = next_question_++;
    Question& q = questions_[id];
    q.guest = &g;
    q.migrate = a;
  }
  search(id);
  return block(g);
}

// Asks every host, this one too, for the thread that a DMI_migrate names.
void Host::search(uint64_t id) {
  std::vector<memory::MemberId> all;
  Writer w;
  {
    std::scoped_lock hold(peers_mutex_, questions_mutex_);
    const auto it = questions_.find(id);
    if (it == questions_.end()) return;
    Question& q = it->second;
    q.searches++;
    for (const Peer& p : peers_)
      if (!p.node.empty()) all.push_back(p.info.id);  // an attached program is on no node: it has no threads
    q.unanswered.insert(all.begin(), all.end());
    w.num<uint8_t>(kMove);
    w.num(id);
    w.num<uint64_t>(key_of(q.migrate->thread));
    w.num<int32_t>(q.migrate->dmi_id);
  }
  for (const auto to : all) member_->send_app(to, w.view());
}

// `from` has answered no, or has left. The last of all to do so decides.
void Host::says_no(uint64_t id, memory::MemberId from, const std::string& why, int error) {
  std::unique_lock hold(questions_mutex_);
  const auto it = questions_.find(id);
  if (it == questions_.end() || !it->second.unanswered.erase(from) || !it->second.unanswered.empty()) return;
  const Question q = it->second;
  if (q.migrate && q.searches < kSearches) {
    hold.unlock();
    run_in_helper([this, id] {
      std::this_thread::sleep_for(kSearchPause);
      search(id);
    });
    return;
  }
  questions_.erase(it);
  hold.unlock();
  if (q.create) wake(*q.guest, fail(*q.guest, error, "node " + std::to_string(from) + " could not start the thread: " + why));
  else wake(*q.guest, fail(*q.guest, ESRCH, "no node has thread " + thread_name(key_of(q.migrate->thread)) + ": it has ended, or never was"));
}

void Host::has_left(memory::MemberId id) {
  std::vector<uint64_t> open;
  {
    std::lock_guard hold(questions_mutex_);
    for (const auto& [question, q] : questions_)
      if (q.unanswered.count(id)) open.push_back(question);
  }
  for (const auto question : open) says_no(question, id, "it has left the job", ESRCH);
}

// ---- answering -------------------------------------------------------------------------------------------------------

void Host::app_message(memory::MemberId from, std::span<const std::byte> bytes) {
  Reader r(bytes);
  const auto kind = r.num<uint8_t>();
  const auto id = r.num<uint64_t>();
  const auto malformed = [&] { control_.log(40, "a malformed message from member " + std::to_string(from) + " was dropped"); };
  if (kind == kStart) {
    StartRequest q;
    q.role = r.num<int32_t>(), q.rank = r.num<int32_t>(), q.count = r.num<int32_t>(), q.arg = r.num<int64_t>(), q.stack = r.num<int64_t>();
    q.by = r.text();
    q.joinable = true;
    if (!r.ok()) return malformed();
    run_in_helper([this, from, id, q] {
      Writer w;
      w.num<uint8_t>(kStarted);
      w.num(id);
      await_first_view();  // the new thread may ask for the nodes at once
      try {
        const auto g = start_guest(q);
        w.num<uint64_t>(g->key);
        w.text("");
        w.num<bool>(false);
      } catch (const Error& e) {
        w.num<uint64_t>(0);
        w.text(e.what());
        w.num<bool>(e.code == "leaving");
      }
      member_->send_app(from, w.view());
    });
    return;
  }
  if (kind == kStarted) {
    const auto key = r.num<uint64_t>();
    const std::string why = r.text();
    const bool leaving = r.num<bool>();
    if (!r.ok()) return malformed();
    std::unique_lock hold(questions_mutex_);
    const auto it = questions_.find(id);
    if (it == questions_.end() || !it->second.create || !it->second.unanswered.count(from)) return;
    const Question q = it->second;
    if (!key) {
      hold.unlock();
      if (leaving && q.create->dmi_id == -1) return run_in_helper([this, id] { create_elsewhere(id); });
      return says_no(id, from, why, leaving ? ESRCH : ENOMEM);
    }
    questions_.erase(it);
    hold.unlock();
    q.create->created = {static_cast<int32_t>(key >> 32), static_cast<int32_t>(key & 0xffffffff)};
    return wake(*q.guest, 0);
  }
  if (kind == kMove) {
    const auto key = r.num<uint64_t>();
    const auto to = r.num<int32_t>();
    if (!r.ok()) return malformed();
    const auto answer = [this, from, id](Found found, const std::string& code, const std::string& why) {
      Writer w;
      w.num<uint8_t>(kMoved);
      w.num(id);
      w.num<uint8_t>(found);
      w.text(code);
      w.text(why);
      member_->send_app(from, w.view());
    };
    if (!find(key)) return answer(kNotHere, "", "");
    if (to == config_.member) return answer(kDone, "", "");
    moves().request(key, to, [this, key, answer](const MoveOutcome& o) {
      if (o.ok) moves().report(nullptr, key, o);
      if (o.code == "gone") return answer(kNotHere, "", "");  // it left, or ended, before we got at it
      answer(o.ok ? kDone : kFailed, o.code, o.reason);
    });
    return;
  }
  if (kind == kMoved) {
    const auto found = r.num<uint8_t>();
    const std::string code = r.text(), why = r.text();
    if (!r.ok() || found > kFailed) return malformed();
    if (found == kNotHere) return says_no(id, from, "", ESRCH);
    std::unique_lock hold(questions_mutex_);
    const auto it = questions_.find(id);
    if (it == questions_.end() || !it->second.migrate || !it->second.unanswered.count(from)) return;
    const Question q = it->second;
    questions_.erase(it);
    hold.unlock();
    q.migrate->migrated = found == kDone;
    return wake(*q.guest, found == kDone ? 0 : fail(*q.guest, error_of(code), why));
  }
  control_.log(40, "an unknown message from member " + std::to_string(from) + " was dropped");
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

// ---- DMI_function ----------------------------------------------------------------------------------------------------

void Host::run_function(memory::FunctionCall* call) {
  Guest* idle = nullptr;
  {
    std::lock_guard hold(function_mutex_);
    function_calls_.push_back(call);
    if (function_guest_ && !function_running_) {
      idle = function_guest_;
      function_guest_ = nullptr;
    } else if (function_starting_) {
      return;
    }
    if (!idle) function_starting_ = true;
  }
  if (idle) {
    auto* a = static_cast<dmi_gate_function*>(idle->reply_to);
    // The resident instance is at rest in DMI_G_SERVE: it takes the call as if it had just asked.
    serve_next(*a);
    wake(*idle, 0);
    return;
  }
  run_in_helper([this] {
    StartRequest r;
    r.role = DMI_ROLE_FUNCTION;
    try {
      start_guest(r);
    } catch (const Error& e) {
      fatal(std::string("cannot start the instance that runs DMI_function: ") + e.what());
    }
  });
}

bool Host::serve_next(dmi_gate_function& a) {
  std::lock_guard hold(function_mutex_);
  if (function_calls_.empty()) return false;
  memory::FunctionCall* call = function_calls_.front();
  function_calls_.pop_front();
  function_running_ = call;
  a.token = reinterpret_cast<uint64_t>(call);
  a.page_ptr = call->page;
  a.size = call->size;
  a.out_ptr = const_cast<std::byte*>(call->in);  // named from the caller's side in DMI_function
  a.out_size = call->in_size;
  a.in_ptr = call->out;
  a.in_size = call->out_size;
  a.tag = call->tag;
  a.status = 0;
  return true;
}

Next Host::serve_function(Guest& g, dmi_gate_function* a) {
  g.context.result = 0;
  if (g.role != DMI_ROLE_FUNCTION) {
    g.context.result = fail(g, EPERM, "only the instance that serves DMI_function may ask for calls");
    return Next::Continue;
  }
  memory::FunctionCall* finished = nullptr;
  {
    std::lock_guard hold(function_mutex_);
    finished = function_running_;
    function_running_ = nullptr;
  }
  if (finished) {
    finished->error = a->status;
    member_->function_done(finished);
  }
  if (serve_next(*a)) return Next::Continue;
  g.reply_to = a;
  g.lock.lock();
  g.submitting = true;
  g.completed = false;
  g.lock.unlock();
  bool got = false;
  {
    std::lock_guard hold(function_mutex_);
    got = !function_calls_.empty();
    if (!got) function_guest_ = &g;
  }
  if (got) {
    g.lock.lock();
    g.submitting = false;
    g.lock.unlock();
    serve_next(*a);
    return Next::Continue;
  }
  return block(g);
}

}  // namespace dmi::host
