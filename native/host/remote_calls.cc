// Calls of a guest that another host answers: creating a thread there, moving one that is there.
#include <errno.h>
#include <string.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "host.h"
#include "moves.h"
#include "platform.h"

namespace dmi::host {
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
constexpr int kSearches = 45;
constexpr int64_t kSearchPause = 25'000;  // µs, between the later ones; about a second in all

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
    static std::atomic<uint64_t> requests{0};
    const uint64_t asked = ++requests;
    const memory::MemberId to = a->dmi_id;  // as soon as it is Paused another move may let it go on, or take its memory away
    g.self_move = a;
    g.self_request = asked;
    g.lock.lock();
    g.pause_wanted = true;
    g.state = State::Paused;
    g.rest = Rest::Run;
    g.lock.unlock();
    moves().request(key, to, [this, key, to](const MoveOutcome& o) { if (o.ok) moves().report(nullptr, key, to, o); }, asked);
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
    run_in_helper([this, id, searches = q.searches] {
      std::this_thread::sleep_for(std::chrono::microseconds(std::min(kSearchPause, int64_t{250} << std::min(searches, 10))));
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
    moves().request(key, to, [this, key, to, answer](const MoveOutcome& o) {
      if (o.ok) moves().report(nullptr, key, to, o);
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

}  // namespace dmi::host
