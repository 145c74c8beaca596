// A move's destination: see moves.h for what it answers and when.
#include <stdio.h>

#include <thread>

#include "arrival.h"
#include "guest_wire.h"
#include "host.h"
#include "move_layout.h"
#include "move_wire.h"
#include "moves.h"
#include "platform.h"

namespace dmi::host {
namespace {

constexpr size_t kRemembered = 10'000;  // arrivals whose repeated commits are still answered; a repeat comes within the peer timeout

void refuse(MoveStream& s, const std::string& code, const std::string& reason) {
  Writer w;
  w.text(code);
  w.text(reason);
  s.send(MoveMessage::Refuse, w);
  s.drain();  // closed at once, the source would be told of a broken connection and not why
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

// Everything until the thread is complete. False: the source has called it off.
bool take_in(MoveStream& stream, std::vector<std::byte>& body, Guest& g, uint64_t& id, uint64_t& bytes) {
  Host& host = Host::get();
  Offer offer = read_offer(body);
  id = offer.id;
  g.key = offer.thread;
  if (const int64_t available = available_memory(); static_cast<int64_t>(offer.resident) > available)
    throw Error("no-memory", "the thread has " + std::to_string(offer.resident >> 20) + " MiB, this machine " + std::to_string(available >> 20) +
                                 " MiB available");
  Arrival arrival(g.space, host.config().zone);
  arrival.show(offer.layout);
  Writer accept;
  for (const bool here : arrival.present()) accept.num<uint8_t>(here);
  stream.send(MoveMessage::Accept, accept);
  const auto acceptable = [&](const Run& r) { return arrival.covers(r); };
  while (true) {
    switch (stream.receive(body)) {
      case MoveMessage::Pages: stream.receive_pages(acceptable, true, bytes); continue;
      case MoveMessage::Abort: return false;
      case MoveMessage::State: break;
      default: throw Error("refused", "a move went on with nonsense");
    }
    Reader r(body);
    const Layout layout = read_layout(r);
    std::vector<Run> dropped(r.count(16));
    for (Run& d : dropped) d.start = r.num<uint64_t>(), d.size = r.num<uint64_t>();
    read_guest(r, g);
    arrival.show(layout);
    arrival.drop(dropped);
    stream.receive_pages(acceptable, false, bytes);
    arrival.finish(layout);
    return true;
  }
}

}  // namespace

void Moves::receive(int fd, memory::MemberId from) {
  Host& host = Host::get();
  Visit visit(host.departure());
  uint64_t id = 0;
  try {
    MoveStream stream(fd, host.config().peer_timeout);
    std::vector<std::byte> body;
    const auto g = std::make_shared<Guest>();
    uint64_t move = 0, bytes = 0;
    try {
      if (!visit.admitted || host.departure().asked()) throw Error("refused", "it is leaving the job");
      if (stream.receive(body) != MoveMessage::Offer) throw Error("refused", "a move began with something else than an offer");
      if (!take_in(stream, body, *g, move, bytes)) return;  // called off
    } catch (const Error& e) {
      if (e.code == "unreachable") throw;
      refuse(stream, e.code, e.what());
      return;
    }
    id = move;
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

}  // namespace dmi::host
