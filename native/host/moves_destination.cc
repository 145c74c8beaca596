// A move's destination: see moves.h for what it answers and when.
#include <functional>
#include <optional>

#include "arrival.h"
#include "fault_point.h"
#include "guest_wire.h"
#include "host.h"
#include "move_layout.h"
#include "move_wire.h"
#include "moves.h"
#include "platform.h"

namespace dmi::host {
namespace {

constexpr size_t kRemembered = 10'000;  // arrivals that can still be asked for; who is in doubt asks within the peer timeout

void refuse(MoveStream& s, const std::string& code, const std::string& reason) {
  Writer w;
  w.text(code);
  w.text(reason);
  s.send(MoveMessage::Refuse, w);
  s.drain();  // closed at once, the source would be told of a broken connection and not why
}

// What is needed until the thread runs; to put it together and away takes longer than some pauses.
struct Incoming {
  std::optional<Admission::Ticket> ticket;
  std::optional<Arrival> arrival;
  std::unique_ptr<SourceMemory> source;
  uint64_t bytes = 0;
  nlohmann::json news;  // for the agent
};

// Everything until the thread is complete. False: the source has called it off.
bool take_in(MoveStream& stream, std::vector<std::byte>& body, Guest& g, const std::function<void(uint64_t)>& begin, Admission& admission,
             Incoming& in) {
  Host& host = Host::get();
  Offer offer = read_offer(body);
  begin(offer.id);
  g.key = offer.thread;
  if (const std::string missing = lacking(offer.features, *machine_features()); !missing.empty())
    throw Error("features", "this machine lacks " + missing + ", which the thread may use since it started where that is");
  g.features = std::make_shared<const Features>(std::move(offer.features));
  std::string no_memory;
  auto ticket = admission.admit(offer.resident, no_memory);
  if (!ticket) throw Error("no-memory", no_memory);
  if (const std::string why = host.no_room(); !why.empty()) throw Error("no-memory", why);
  in.ticket.emplace(std::move(*ticket));
  Arrival& arrival = in.arrival.emplace(g.space, host.config().zone);
  arrival.show(offer.layout);
  Writer accept;
  for (const bool here : arrival.present()) accept.num<uint8_t>(here);
  in.source = SourceMemory::reach(offer.beacon);
  accept.num<bool>(in.source != nullptr);
  stream.send(MoveMessage::Accept, accept);
  in.news = {{"t", "arrived"}, {"thread", g.name()}, {"move", std::to_string(offer.id)}, {"bytes", 0}, {"moves", 0}};
  fault_point("destination:accept", stream.fd());
  stream.be_attentive();
  const auto place = [&](const Run& r) {
    if (!arrival.covers(r)) return false;
    arrival.open_up(r);
    return true;
  };
  while (true) {
    switch (stream.receive(body)) {
      case MoveMessage::Pages: {
        const uint64_t before = in.bytes;
        stream.receive_pages(place, true, in.bytes);
        arrival.protect_again();
        in.ticket->came(in.bytes - before);
        fault_point("destination:pages", stream.fd());
        continue;
      }
      case MoveMessage::Look: {
        if (!in.source) throw Error("refused", "pages to be read here, which was not agreed upon");
        std::vector<Run> missed;
        stream.receive_runs([&](const Run& r) {
          if (!place(r)) throw Error("refused", "a run of pages outside the thread's own mappings");
          in.source->copy(r, missed);
          in.ticket->came(r.size);
          in.bytes += r.size;
        });
        arrival.protect_again();
        fault_point("destination:pages", stream.fd());
        Writer taken;
        taken.num<uint64_t>(missed.size());
        for (const Run& m : missed) taken.num(m.start), taken.num(m.size);
        stream.send(MoveMessage::Taken, taken);
        continue;
      }
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
    fault_point("destination:state", stream.fd());
    stream.receive_pages(place, false, in.bytes);
    arrival.finish();
    return true;
  }
}

}  // namespace

void Moves::receive(int fd, memory::MemberId from) {
  Host& host = Host::get();
  Visit visit(host.departure());
  try {
    MoveStream stream(fd, host.config().peer_timeout);
    std::vector<std::byte> body;
    const auto g = std::make_shared<Guest>();
    uint64_t id = 0;
    Incoming in;
    const auto begin = [&](uint64_t move) {
      std::lock_guard hold(mutex_);
      if (running_.contains(move) || !arriving_.insert(move).second) throw Error("refused", "that move is under way already");
      id = move;
    };
    struct End { Moves& m; uint64_t& id; ~End() { if (id) m.settle(id, false); } } end{*this, id};
    try {
      if (!visit.admitted || host.departure().asked()) throw Error("refused", "it is leaving the job");
      const MoveMessage first = stream.receive(body);
      if (first == MoveMessage::Abort) return;  // the thread has ended, or cannot move
      if (first != MoveMessage::Offer) throw Error("refused", "a move began with something else than an offer");
      if (!take_in(stream, body, *g, begin, admission_, in)) return;  // called off
    } catch (const Error& e) {
      if (e.code == "unreachable") throw;
      if (id) settle(id, false);  // before the source knows
      in.ticket.reset();
      refuse(stream, e.code, e.what());
      return;
    }
    fault_point("destination:complete", fd);
    if (!settle(id, true)) throw Error("unreachable", "node " + std::to_string(from) + " called it off");
    fault_point("destination:decided", fd);
    for (int s : {1, 2}) host.output().preset(g->key, s, g->carried[s - 1]);
    g->moving = true;  // it stands still, but for nobody else to let go on
    host.insert(g);
    in.news["bytes"] = in.bytes, in.news["moves"] = g->moves;
    host.control().queue(in.news);
    host.release(*g);
    g->moving = false;
    host.control().wake();  // the thread first
    try {
      stream.send(MoveMessage::Running);
      fault_point("destination:running", fd);
    } catch (const Error&) {
      // the source will ask
    }
  } catch (const Error& e) {
    host.control().log(40, std::string("an arriving thread was given up: ") + e.what());
  }
}

bool Moves::settle(uint64_t id, bool run) {
  std::lock_guard hold(mutex_);
  if (running_.contains(id)) return true;
  if (!arriving_.erase(id) || !run) return false;
  running_.insert(id);
  running_order_.push_back(id);
  if (running_order_.size() > kRemembered) {
    running_.erase(running_order_.front());
    running_order_.pop_front();
  }
  return true;
}

}  // namespace dmi::host
