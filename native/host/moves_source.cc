// A move's source: see moves.h for what it says to the destination and when.
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <thread>

#include "admission.h"
#include "dirty_pages.h"
#include "fault_point.h"
#include "guest_wire.h"
#include "host.h"
#include "move_layout.h"
#include "move_wire.h"
#include "moves.h"
#include "platform.h"
#include "zero_pages.h"

namespace dmi::host {
namespace {

constexpr double kConnectTimeout = 10;       // seconds until a destination that does not answer is given up
constexpr double kPauseTimeout = 20;         // seconds until a thread that does not come to rest is left alone
constexpr uint64_t kLiveFrom = 4 << 20;      // bytes from which a thread runs on while they go over
constexpr uint64_t kLiveEnough = 1 << 20;    // bytes left that are sent while it stands still
constexpr int kLiveRounds = 8;
constexpr uint64_t kReadFrom = 512 << 10;    // bytes for which a destination that can read them itself is asked to
constexpr uint64_t kPortion = 64 << 20;      // bytes that it reads before it answers

uint64_t random_id() {
  uint64_t v = 0;
  while (getrandom(&v, sizeof v, 0) != sizeof v || v == 0) {}
  return v;
}

uint64_t bytes_of(const std::vector<Run>& runs) {
  uint64_t sum = 0;
  for (const Run& r : runs) sum += r.size;
  return sum;
}

// For people: by its name, where it is known.
std::string called(memory::MemberId member) {
  for (const Peer& p : Host::get().peers())
    if (p.info.id == member && !p.node.empty()) return "node " + p.node;
  return "node " + std::to_string(member);
}

// Its pages go over whole, with those nobody has changed: the destination lacks the file.
bool whole(const Mapping& m, const std::vector<bool>& present) {
  return m.file != 0 && (m.file > present.size() || !present[m.file - 1]);
}

// Without zero pages of anonymous memory that the destination has never had.
std::vector<Run> without_zeros(std::vector<Run> runs, const std::vector<Mapping>& mappings, const std::vector<Run>& sent) {
  const std::vector<Run> fresh = difference(runs, sent);
  std::vector<Run> anonymous;
  for (const Mapping& m : mappings)
    if (m.file == 0) within(fresh, m.start, m.end, anonymous);
  return difference(std::move(runs), zero_pages(anonymous));
}

// Lets the destination know that nothing more will come, so that it need not find out.
void call_off(MoveStream& stream) {
  try {
    stream.send(MoveMessage::Abort);
  } catch (const Error&) {
    // it will notice
  }
}

}  // namespace

// One move on its way out. The steps are called in order; each throws Error, and then the thread stays.
struct Moves::Outgoing {
  Guest& g;
  MoveStream stream;
  const uint64_t id = random_id();
  const std::string to;  // for people
  Layout layout;         // as offered
  Writer files{};        // that the thread has open, as offered
  std::vector<bool> present{};
  std::vector<Run> sent{};    // while it ran
  std::vector<Run> missed{};  // of those, what could not be read then
  uint64_t bytes = 0;
  std::unique_ptr<DirtyPages> dirty{};
  const std::unique_ptr<const Beacon> beacon = Beacon::light();
  bool reads_itself = false;  // the destination, from this process's memory

  // At rest: what the destination must know to get ready.
  void describe();
  void offer();
  // Pages before the last; the destination has them when it returns, or will have before anything that is sent later.
  void send_round(const std::vector<Run>& runs);
  void send_to_be_read(const std::vector<Run>& runs);
  // While the thread runs: its pages, and again those that it writes meanwhile, until little is left.
  void send_live();
  // At rest: the thread, and what of its memory is not there yet; all but the end, upon which it may run there.
  void send_rest(std::vector<Extent>& unreadable);
};

void Moves::Outgoing::describe() {
  layout = layout_of(g.space);
  g.files.save(files);
}

void Moves::Outgoing::offer() {
  hash_files(layout);
  // How much there is to send is looked for while the thread runs: of a large one that takes milliseconds.
  std::vector<Run> populated;
  for (const Mapping& m : layout.mappings) populated_pages(m.start, m.end, populated);
  Writer w;
  w.num(kMoveWire), w.num(id), w.text(Host::get().build()), w.num(g.key);
  w.num(bytes_of(populated));
  write_features(w, *g.features);
  beacon->save(w);
  w.append(files);
  write_layout(w, layout);
  stream.send(MoveMessage::Offer, w);
  fault_point("source:offer", stream.fd());
  std::vector<std::byte> answer;
  const MoveMessage type = stream.receive(answer);
  Reader r(answer);
  if (type == MoveMessage::Refuse) {
    const std::string code = r.text(), reason = r.text();
    throw Error(r.ok() ? code : "refused", to + " answers: " + reason);
  }
  if (type != MoveMessage::Accept) throw Error("refused", to + " answered an offer with nonsense");
  for (size_t i = 0; i < layout.files.size(); i++) present.push_back(r.num<uint8_t>());
  reads_itself = r.num<bool>();
  if (!r.ok()) throw Error("refused", to + " sent a truncated acceptance");
}

void Moves::Outgoing::send_round(const std::vector<Run>& runs) {
  if (reads_itself) {
    // In portions, each of which is answered: neither this move's patience nor others' turns depend on a thread's size.
    for (const std::vector<Run>& portion : portions(runs, kPortion)) send_to_be_read(portion);
  } else {
    stream.send(MoveMessage::Pages);
    stream.send_pages(runs, bytes, &missed);
    stream.end_pages();
    fault_point("source:pages", stream.fd());
  }
  sent.insert(sent.end(), runs.begin(), runs.end());
}

void Moves::Outgoing::send_to_be_read(const std::vector<Run>& runs) {
  stream.send(MoveMessage::Look, {}, true);
  stream.send_runs(runs);
  fault_point("source:pages", stream.fd());
  std::vector<std::byte> answer;
  const MoveMessage type = stream.receive(answer);
  Reader r(answer);
  std::vector<Run> gone(r.count(sizeof(Run)));
  for (Run& g : gone) g.start = r.num<uint64_t>(), g.size = r.num<uint64_t>();
  if (type != MoveMessage::Taken || !r.ok()) throw Error("refused", to + " answered pages with nonsense");
  missed.insert(missed.end(), gone.begin(), gone.end());
  bytes += bytes_of(runs);
}

void Moves::Outgoing::send_live() {
  std::vector<Run> ranges;
  for (const Mapping& m : layout.mappings)
    if ((m.prot & PROT_READ) && !whole(m, present)) ranges.push_back({m.start, m.end - m.start});
  dirty = std::make_unique<DirtyPages>(ranges);
  if (!dirty->watching()) {
    static std::atomic<bool> said{false};
    if (!said.exchange(true)) Host::get().control().log(30, "large threads stand still while they move: " + dirty->why_not());
    return dirty.reset();
  }
  uint64_t before = UINT64_MAX;
  for (int round = 0; round < kLiveRounds; round++) {
    std::vector<Run> runs;
    for (const Run& r : ranges) dirty->take(r.start, r.start + r.size, runs);
    const uint64_t now = bytes_of(runs);
    if (now == 0) return;
    send_round(without_zeros(std::move(runs), layout.mappings, sent));
    // Less than a round sends is written while it is sent, or there would be no end.
    if (now <= kLiveEnough || now > before / 4 * 3) return;
    before = now;
  }
}

void Moves::Outgoing::send_rest(std::vector<Extent>& unreadable) {
  const Layout now = layout_of(g.space, layout.files);
  std::vector<Run> runs, populated, written;
  std::vector<Run> all, all_written;
  if (dirty)
    for (const Run& r : neighbourhoods(now.mappings)) dirty->look(r.start, r.start + r.size, all, all_written);
  for (const Mapping& m : now.mappings) {
    std::vector<Run> here;
    if (whole(m, present)) {
      const uint64_t size = page_up(now.files[m.file - 1].size);
      const uint64_t in_file = size > m.offset ? std::min(m.end - m.start, size - m.offset) : 0;
      if (in_file) here.push_back({m.start, in_file}), runs.push_back(here.back());
    } else if (dirty) {
      within(all, m.start, m.end, here);
      within(all_written, m.start, m.end, written);
    } else {
      populated_pages(m.start, m.end, here);
    }
    populated.insert(populated.end(), here.begin(), here.end());
    if (!here.empty() && !(m.prot & PROT_READ)) {
      mprotect(reinterpret_cast<void*>(m.start), m.end - m.start, PROT_READ);
      unreadable.push_back({m.start, m.end - m.start});
    }
  }
  // What was sent is there, but for what could not be read, and for where the destination maps something else now.
  std::vector<Run> replaced;
  for (const Mapping& m : remapping(layout.mappings, now.mappings).map) replaced.push_back({m.start, m.end - m.start});
  const std::vector<Run> there = difference(difference(difference(sent, missed), replaced), written);
  for (const Run& r : difference(difference(populated, there), runs)) runs.push_back(r);
  runs = without_zeros(std::move(runs), now.mappings, sent);
  if (reads_itself && bytes_of(runs) >= kReadFrom) {
    // The destination must have everything with the end: what it reads itself it reads before. Not what it has no place for yet.
    std::vector<Run> places;
    for (const Mapping& m : layout.mappings) places.push_back({m.start, m.end - m.start});
    places = difference(places, replaced);
    const std::vector<Run> ahead = difference(runs, difference(runs, places));
    missed.clear();
    if (!ahead.empty()) send_round(ahead);
    runs = difference(runs, difference(ahead, missed));
  }
  const std::vector<Run> dropped = difference(sent, populated);
  Writer w;
  write_layout(w, now);
  w.num<uint64_t>(dropped.size());
  for (const Run& r : dropped) w.num(r.start), w.num(r.size);
  write_guest(w, g);
  stream.send(MoveMessage::State, w, true);
  stream.send_pages(runs, bytes);
  fault_point("source:state", stream.fd());
}

MoveOutcome Moves::send(ThreadKey thread, memory::MemberId to, uint64_t asked, Left& gone) {
  Host& host = Host::get();
  const bool self = asked != 0;
  const double begin = monotonic_seconds();
  Visit visit(host.departure());  // until the destination has confirmed, this host must stay
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
  if (host.find(thread) != g) return failed("gone", "it has moved already");
  // The other move may have failed and let it go on, and by now it may ask for something else.
  if (self && g->self_request != asked) return failed("busy", "another move came first");

  const int fd = host.member().open_stream(to, "move", {}, std::min(kConnectTimeout, host.config().peer_timeout));
  if (fd < 0) {
    if (self) {
      g->why_stayed = "node " + std::to_string(to) + " cannot be reached";
      host.release(*g);
    }
    return failed("unreachable", "node " + std::to_string(to) + " cannot be reached: " + strerror(-fd));
  }
  Outgoing move{*g, MoveStream(fd, host.config().peer_timeout), random_id(), called(to), {}};
  MoveOutcome o;
  o.moves = g->moves + 1;
  // Once to describe the thread, and once to move it: in between it runs. One that asked itself stands still anyway.
  bool paused = false, complete = false;  // complete: the destination may have everything, and so the say
  double paused_at = 0;
  std::vector<Extent> unreadable;
  const auto pause = [&] {
    std::string why, code;
    paused_at = monotonic_seconds();
    if (!host.pause(*g, kPauseTimeout, why, code)) throw Error(code, why);
    paused = true;
    if (why = g->why_pinned(); why.empty()) return;
    g->lock.lock();
    g->last_pin = why;
    g->lock.unlock();
    throw Error("pinned", why);
  };
  const auto go_on = [&] {
    for (const Extent& e : unreadable)
      if (const Area* a = g->space.find(e.base)) mprotect(reinterpret_cast<void*>(e.base), e.size, a->prot);
    host.release(*g);
    paused = false;
    o.pause += monotonic_seconds() - paused_at;
  };
  try {
    pause();
    move.describe();
    if (!self) go_on();
    move.offer();
    if (!self) {
      if (g->space.mapped_bytes() >= kLiveFrom) move.send_live();
      pause();
    }
    if (g->self_move && !self) {  // it asked to go elsewhere, but this move came first: tell it where it wakes up
      g->self_move->migrated = 0;
      g->self_move = nullptr;
      g->self_request = 0;
      g->context.result = host.fail(*g, EBUSY, "another move came first");
    }
    move.send_rest(unreadable);
    leave(*g);  // it may be back before the answer is
    complete = true;
    move.stream.end_pages();
    fault_point("source:end", move.stream.fd());
    move.stream.expect(MoveMessage::Running);
    fault_point("source:running", move.stream.fd());
  } catch (const Error& e) {
    if (!complete || !runs_there(move.id, to, thread_name(thread), e.what())) {
      if (complete) stay(*g);
      else call_off(move.stream);
      if (paused) {
        g->why_stayed = e.what();
        go_on();
      }
      return failed(e.code, e.what());
    }
  }
  host.forget(g->key);
  for (int s : {1, 2}) host.output().take(g->key, s);
  o.ok = true;
  o.bytes = move.bytes;
  if (move.stream.compressed() > 0)
    host.control().log(30, "thread " + thread_name(thread) + ": " + size_text(move.bytes) + " of pages went to " + move.to + " as " +
                               size_text(move.stream.page_bytes()) + " (lz4)");
  o.pause += monotonic_seconds() - paused_at;
  o.seconds = monotonic_seconds() - begin;
  gone = {g, std::move(move.dirty)};
  return o;
}

// The destination has had everything to run the thread, but no answer has come: it is asked until it says whether it does. Asked,
// one that does not run it never will.
bool Moves::runs_there(uint64_t id, memory::MemberId to, const std::string& thread, std::string why) {
  Host& host = Host::get();
  const double give_up = monotonic_seconds() + host.config().peer_timeout;
  do {
    const int fd = host.member().open_stream(to, "move-status", id_only(id).view(), 5);
    if (fd >= 0) {
      try {
        MoveStream stream(fd, 5);
        std::vector<std::byte> body;
        const MoveMessage m = stream.receive(body);
        if (m == MoveMessage::Running) return true;
        if (m == MoveMessage::Abort) return false;
        why = "it answers with nonsense";
      } catch (const Error& e) {
        why = e.what();
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  } while (monotonic_seconds() < give_up);
  host.fatal("thread " + thread + " was sent whole to node " + std::to_string(to) + ", which does not say whether it runs there (" + why +
             "): the job cannot go on without it");
  return true;
}

}  // namespace dmi::host
