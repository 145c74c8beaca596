#include "moves.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>

#include "host.h"
#include "move_wire.h"
#include "platform.h"

namespace dmi::host {
namespace {

constexpr size_t kRemembered = 10'000;   // arrivals whose repeated commits are still answered; a repeat comes within the peer timeout
constexpr double kPauseTimeout = 20;  // seconds until a thread that does not come to rest is left alone

uint64_t random_id() {
  uint64_t v = 0;
  while (getrandom(&v, sizeof v, 0) != sizeof v || v == 0) {}
  return v;
}

void refuse(MoveStream& s, const std::string& code, const std::string& reason) {
  Writer w;
  w.text(code);
  w.text(reason);
  s.send(MoveMessage::Refuse, w);
}

int64_t available_memory() {
  FILE* f = fopen("/proc/meminfo", "r");
  if (!f) return INT64_MAX;
  char line[128];
  long long kib = -1;
  while (fgets(line, sizeof line, f) && sscanf(line, "MemAvailable: %lld kB", &kib) != 1) {}
  fclose(f);
  return kib < 0 ? INT64_MAX : kib * 1024;
}

// A thread on its way in or out keeps the host from leaving.
struct Visit {
  bool admitted = Host::get().departure().enter();
  ~Visit() { if (admitted) Host::get().departure().exit(); }
};

Writer id_only(uint64_t id) {
  Writer w;
  w.num(id);
  return w;
}

}  // namespace

// ---- source ----------------------------------------------------------------------------------------------------------

void Moves::request(ThreadKey thread, memory::MemberId to, std::function<void(const MoveOutcome&)> done, bool self) {
  run_in_helper([this, thread, to, self, done = std::move(done)] {
    std::shared_ptr<Guest> gone;
    done(send(thread, to, self, gone));
    if (gone) left(*gone);  // nobody need wait while its memory is unmapped
  });
}

void Moves::command(const std::string& move, ThreadKey thread, memory::MemberId to) {
  request(thread, to, [this, move, thread](const MoveOutcome& o) { report(move, thread, o); });
}

void Moves::report(const nlohmann::json& move, ThreadKey thread, const MoveOutcome& o) {
  Host::get().control().send({{"t", "moved"}, {"move", move}, {"thread", thread_name(thread)}, {"ok", o.ok}, {"code", o.code},
                              {"reason", o.reason}, {"bytes", o.bytes}, {"seconds", o.seconds}, {"pauseSeconds", o.pause},
                              {"moves", o.moves}});
}

MoveOutcome Moves::send(ThreadKey thread, memory::MemberId to, bool self, std::shared_ptr<Guest>& gone) {
  Host& host = Host::get();
  const double begin = monotonic_seconds();
  Visit visit;  // until the destination has confirmed, this host must stay
  auto failed = [&](std::string code, std::string reason) {
    MoveOutcome o;
    o.code = std::move(code);
    o.reason = "thread " + thread_name(thread) + " stays where it is: " + std::move(reason);
    o.seconds = monotonic_seconds() - begin;
    return o;
  };
  auto g = visit.admitted ? host.find(thread) : nullptr;
  if (!g) return failed("gone", "it is not on this host (it has ended, or moved already)");
  if (to == host.config().member) return failed("refused", "it is already on node " + std::to_string(to));
  if (g->role == DMI_ROLE_FUNCTION) return failed("refused", "it serves DMI_function and belongs to its host");
  while (g->moving.exchange(true)) {
    // A thread that asks for its own move stands still until it is answered: it waits for the other move to end.
    if (!self) return failed("busy", "another move of it is under way");
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  struct Unmark { Guest& g; ~Unmark() { g.moving = false; } } unmark{*g};
  if (self && !g->self_move) return failed("busy", "another move came first");

  const int fd = host.member().open_stream(to, "move", {}, 10);
  if (fd < 0) {
    if (self) {
      g->why_stayed = "node " + std::to_string(to) + " cannot be reached";
      host.release(*g);
    }
    return failed("unreachable", "node " + std::to_string(to) + " cannot be reached: " + strerror(-fd));
  }
  std::string why, code;
  const double pause_begin = monotonic_seconds();
  if (!host.pause(*g, kPauseTimeout, why, code)) {
    close(fd);
    return failed(code, why);
  }
  if (why = g->why_pinned(); !why.empty()) {
    close(fd);
    g->why_stayed = why;
    g->lock.lock();
    g->last_pin = why;
    g->lock.unlock();
    host.release(*g);
    return failed("pinned", why);
  }
  if (g->self_move && !self) {  // it asked to go elsewhere, but this move came first: tell it where it wakes up
    g->self_move->migrated = 0;
    g->self_move = nullptr;
    g->context.result = host.fail(*g, EBUSY, "another move came first");
  }
  const uint64_t id = random_id();
  bool committed = false;
  MoveOutcome o;
  const uint64_t moves = g->moves + 1;
  try {
    o = transfer(*g, fd, id, to, committed);
  } catch (const Error& e) {
    if (!committed) {
      g->why_stayed = e.what();
      host.release(*g);
      return failed(e.code, e.what());
    }
    make_sure(id, to, thread_name(thread));
    o.ok = true;
  }
  o.pause = monotonic_seconds() - pause_begin;
  o.moves = moves;
  gone = g;
  std::lock_guard hold(mutex_);
  decisions_.erase(id);
  o.seconds = monotonic_seconds() - begin;
  return o;
}

MoveOutcome Moves::transfer(Guest& g, int fd, uint64_t id, memory::MemberId to, bool& committed) {
  Host& host = Host::get();
  MoveStream stream(fd, host.config().peer_timeout);
  std::vector<OfferedFile> files;
  for (const auto& [start, a] : g.space.areas()) {
    if (!a.file || std::any_of(files.begin(), files.end(), [&](const OfferedFile& f) { return f.path == a.file->path; })) continue;
    files.push_back({a.file->path, a.file->hash.empty() ? hash_file(a.file->real) : a.file->hash, a.file->size});
  }
  std::vector<Run> private_pages;
  for (const auto& [start, a] : g.space.areas()) populated_pages(start, a.end, private_pages);
  uint64_t resident = 0;
  for (const Run& r : private_pages) resident += r.size;
  {
    std::lock_guard hold(mutex_);
    decisions_[id] = Decision::Open;
  }
  Writer offer;
  write_offer(offer, id, g, files, resident);
  stream.send(MoveMessage::Offer, offer);
  std::vector<std::byte> answer;
  const MoveMessage type = stream.receive(answer);
  Reader r(answer);
  if (type == MoveMessage::Refuse) {
    const std::string code = r.text(), reason = r.text();
    throw Error(r.ok() ? code : "refused", "node " + std::to_string(to) + " answers: " + reason);
  }
  if (type != MoveMessage::Accept) throw Error("refused", "node " + std::to_string(to) + " answered an offer with nonsense");
  std::vector<bool> has(files.size());
  for (size_t i = 0; i < files.size(); i++) has[i] = r.num<uint8_t>();
  if (!r.ok()) throw Error("refused", "node " + std::to_string(to) + " sent a truncated acceptance");
  // Files the destination lacks: their unchanged pages are sent like any other, together with the changed ones.
  std::vector<Run> runs;
  for (const auto& [start, a] : g.space.areas()) {
    size_t file = files.size();
    for (size_t i = 0; a.file && i < files.size(); i++)
      if (files[i].path == a.file->path) file = i;
    const bool whole = a.file && file < files.size() && !has[file];
    const size_t before = runs.size();
    if (whole) {
      const uint64_t in_file = page_up(a.file->size) > a.offset ? std::min(a.end - start, page_up(a.file->size) - a.offset) : 0;
      if (in_file) runs.push_back({start, in_file});
    } else {
      populated_pages(start, a.end, runs);
    }
    if (runs.size() > before && !(a.prot & PROT_READ)) mprotect(reinterpret_cast<void*>(start), a.end - start, PROT_READ);
  }
  struct Restore {  // what was opened for reading only to be sent is closed again if the thread stays
    Guest& g;
    bool& gone;
    ~Restore() {
      if (gone) return;
      for (const auto& [start, a] : g.space.areas())
        if (!(a.prot & PROT_READ)) mprotect(reinterpret_cast<void*>(start), a.end - start, a.prot);
    }
  } restore{g, committed};
  MoveOutcome o;
  stream.send_pages(runs, o.bytes);
  stream.expect(MoveMessage::Ready);
  if (decide(id, Decision::Commit) != Decision::Commit)
    throw Error("unreachable", "node " + std::to_string(to) + " lost the connection and asked for the move to be called off");
  committed = true;
  leave(g);
  host.forget(g.key);
  for (int s : {1, 2}) host.output().take(g.key, s);
  stream.send(MoveMessage::Commit);
  stream.expect(MoveMessage::Running);
  o.ok = true;
  return o;
}

void Moves::leave(const Guest& g) {
  std::lock_guard hold(mutex_);
  for (const Extent& e : g.space.extents()) leaving_.push_back(e);
}

void Moves::left(Guest& g) {
  const std::vector<Extent> extents = g.space.extents();
  g.space.release();
  std::lock_guard hold(mutex_);
  for (const Extent& e : extents) std::erase_if(leaving_, [&](const Extent& l) { return l.base == e.base; });
  left_.notify_all();
}

bool Moves::wait_for_leaving(const Extent& e) {
  auto overlaps = [&] {
    return std::any_of(leaving_.begin(), leaving_.end(), [&](const Extent& l) { return l.base < e.base + e.size && e.base < l.base + l.size; });
  };
  std::unique_lock hold(mutex_);
  if (!overlaps()) return false;
  return left_.wait_for(hold, std::chrono::seconds(5), [&] { return !overlaps(); });
}

// The decision of a move, which can only be taken once: whoever asks first with Commit or Abort settles it.
Moves::Decision Moves::decide(uint64_t id, Decision wanted) {
  std::lock_guard hold(mutex_);
  auto it = decisions_.find(id);
  if (it == decisions_.end()) return Decision::Abort;  // never offered, or long given up
  if (it->second == Decision::Open) it->second = wanted;
  return it->second;
}

void Moves::make_sure(uint64_t id, memory::MemberId to, const std::string& thread) {
  Host& host = Host::get();
  const double give_up = monotonic_seconds() + host.config().peer_timeout;
  std::string why = "no answer";
  while (monotonic_seconds() < give_up) {
    const int fd = host.member().open_stream(to, "move-commit", id_only(id).view(), 5);
    if (fd >= 0) {
      try {
        MoveStream stream(fd, 5);
        std::vector<std::byte> body;
        const MoveMessage m = stream.receive(body);
        if (m == MoveMessage::Running) return;
        why = "node " + std::to_string(to) + " does not know it";
        if (m == MoveMessage::Unknown) break;
      } catch (const Error& e) {
        why = e.what();
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  host.fatal("thread " + thread + " was lost on its way to node " + std::to_string(to) + " (" + why +
             "): the job cannot go on without it");
}

// ---- destination -----------------------------------------------------------------------------------------------------

void Moves::incoming(int fd, std::string_view service, memory::MemberId from, std::span<const std::byte> extra) {
  Reader r(extra);
  const uint64_t id = service == "move" ? 0 : r.num<uint64_t>();
  const std::string name(service);
  run_in_helper([this, fd, from, id, name] {
    if (name == "move") return receive(fd, from);
    try {
      MoveStream stream(fd, 5);
      if (name == "move-commit") stream.send(commit_held(id) ? MoveMessage::Running : MoveMessage::Unknown);
      else if (name == "move-status") stream.send(decide(id, Decision::Abort) == Decision::Commit ? MoveMessage::Commit : MoveMessage::Abort);
    } catch (const Error&) {
      // the asker will ask again
    }
  });
}

void Moves::receive(int fd, memory::MemberId from) {
  Host& host = Host::get();
  Visit visit;
  uint64_t id = 0;
  try {
    MoveStream stream(fd, host.config().peer_timeout);
    std::vector<std::byte> body;
    Offer offer;
    std::shared_ptr<Guest> g;
    uint64_t bytes = 0;
    try {
      if (stream.receive(body) != MoveMessage::Offer) throw Error("refused", "a move began with something else than an offer");
      g = read_offer(body, offer);
      if (!visit.admitted || host.departure().asked()) throw Error("refused", "it is leaving the job");
      if (static_cast<int64_t>(offer.resident) > available_memory())
        throw Error("no-memory", "the thread has " + std::to_string(offer.resident >> 20) + " MiB, this machine " +
                                     std::to_string(available_memory() >> 20) + " MiB available");
      map_offer(offer, *g, stream);
      stream.receive_pages(g->space, bytes);
      for (const auto& [start, a] : g->space.areas())
        if (mprotect(reinterpret_cast<void*>(start), a.end - start, a.prot) != 0)
          throw Error("refused", std::string("cannot protect a mapping: ") + strerror(errno));
    } catch (const Error& e) {
      if (e.code == "unreachable") throw;
      refuse(stream, e.code, e.what());
      return;
    }
    id = offer.id;
    {
      std::lock_guard hold(mutex_);
      held_[id] = {g, from, bytes};
    }
    stream.send(MoveMessage::Ready);
    std::vector<std::byte> none;
    const MoveMessage m = stream.receive(none);
    if (m != MoveMessage::Commit) throw Error("unreachable", "no commit");
    commit_held(id);
    stream.send(MoveMessage::Running);
  } catch (const Error& e) {
    if (id) settle_held(id);
    else host.control().log(40, std::string("an arriving thread was given up: ") + e.what());
  }
}

bool Moves::commit_held(uint64_t id) {
  std::unique_lock hold(mutex_);
  auto it = held_.find(id);
  if (it == held_.end()) return running_.contains(id);
  const Held h = it->second;
  held_.erase(it);
  running_.insert(id);
  running_order_.push_back(id);
  if (running_order_.size() > kRemembered) {
    running_.erase(running_order_.front());
    running_order_.pop_front();
  }
  hold.unlock();
  Host& host = Host::get();
  for (int s : {1, 2}) host.output().preset(h.guest->key, s, h.guest->carried[s - 1]);
  host.insert(h.guest);
  host.control().send({{"t", "arrived"}, {"thread", h.guest->name()}, {"move", std::to_string(id)}, {"bytes", h.bytes}, {"moves", h.guest->moves}});
  host.release(*h.guest);
  return true;
}

void Moves::settle_held(uint64_t id) {
  Host& host = Host::get();
  const double give_up = monotonic_seconds() + host.config().peer_timeout;
  std::string thread;
  while (true) {
    memory::MemberId from;
    {
      std::lock_guard hold(mutex_);
      auto it = held_.find(id);
      if (it == held_.end()) return;  // committed by the source's second connection
      from = it->second.from;
      thread = it->second.guest->name();
    }
    if (monotonic_seconds() > give_up) break;
    const int fd = host.member().open_stream(from, "move-status", id_only(id).view(), 5);
    if (fd >= 0) {
      try {
        MoveStream stream(fd, 5);
        std::vector<std::byte> body;
        const MoveMessage m = stream.receive(body);
        if (m == MoveMessage::Commit) return void(commit_held(id));
        if (m == MoveMessage::Abort) {
          std::lock_guard hold(mutex_);
          held_.erase(id);
          host.control().log(40, "thread " + thread + " did not arrive: its source kept it");
          return;
        }
      } catch (const Error&) {
        // asked again below
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  host.fatal("thread " + thread + " is here but its source cannot be asked whether it may run: the job cannot go on");
}

// Reserves and maps what the offer describes, and accepts it. Throws Error("collision" | "no-memory").
void Moves::map_offer(Offer& offer, Guest& g, MoveStream& stream) {
  Host& host = Host::get();
  std::vector<Extent> reserved;
  for (const Extent& e : offer.extents) {
    int error = reserve_at(e.base, e.size);
    if (error == EEXIST && wait_for_leaving(e)) error = reserve_at(e.base, e.size);
    if (error == 0) {
      reserved.push_back(e);
      continue;
    }
    g.space.adopt(host.config().zone, reserved);  // given back with the guest
    char where[64];
    snprintf(where, sizeof where, "0x%llx", static_cast<unsigned long long>(e.base));
    if (error == EEXIST) throw Error("collision", std::string("its addresses at ") + where + " are taken in this host");
    throw Error("no-memory", std::string("cannot reserve its addresses at ") + where + ": " + strerror(error) +
                                 " (raise vm.max_map_count on this node)");
  }
  g.space.adopt(host.config().zone, reserved);
  Writer accept;
  std::vector<std::shared_ptr<MappedFile>> files;
  std::vector<int> fds;
  struct CloseAll { std::vector<int>& fds; ~CloseAll() { for (int fd : fds) if (fd >= 0) close(fd); } } close_all{fds};
  for (const OfferedFile& f : offer.files) {
    auto m = std::make_shared<MappedFile>(MappedFile{f.path, host.resolve_bundle(f.path), f.hash, f.size});
    std::string here = host.bundle_hash(f.path);
    if (here.empty()) here = hash_file(m->real);
    const bool same = !f.hash.empty() && here == f.hash;
    fds.push_back(same ? open(m->real.c_str(), O_RDONLY | O_CLOEXEC) : -1);
    accept.num<uint8_t>(fds.back() >= 0);
    files.push_back(std::move(m));
  }
  for (Offer::OfferedArea& a : offer.areas) {
    const int fd = a.file ? fds[a.file - 1] : -1;
    const uint64_t size = a.area.end - a.start;
    const int flags = MAP_FIXED | MAP_PRIVATE | (fd < 0 ? MAP_ANONYMOUS | MAP_NORESERVE : 0);
    if (mmap(reinterpret_cast<void*>(a.start), size, PROT_READ | PROT_WRITE, flags, fd, fd < 0 ? 0 : static_cast<off_t>(a.area.offset)) == MAP_FAILED)
      throw Error("no-memory", std::string("cannot map ") + std::to_string(size) + " bytes of the thread: " + strerror(errno) +
                                   " (raise vm.max_map_count on this node)");
    if (fd >= 0) a.area.file = files[a.file - 1];  // otherwise its bytes come over the wire and it is anonymous from now on
    else a.area.offset = 0;
    g.space.note(a.start, a.area);
  }
  stream.send(MoveMessage::Accept, accept);
}

}  // namespace dmi::host
