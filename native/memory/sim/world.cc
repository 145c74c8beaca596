#include "world.h"

#include <algorithm>
#include <stdexcept>

namespace dmi::memory::sim {

World::Node& World::add(MemberState state, int64_t pool) {
  const auto id = next_++;
  auto n = std::make_unique<Node>();
  n->id = id;
  n->engine = Engine::create({id, state, pool, 0});
  MemberInfo info;
  info.id = id;
  info.state = state;
  info.host = "sim";
  info.port = 1;
  info.pool = pool;
  infos_[id] = info;
  return *(nodes_[id] = std::move(n));
}

void World::publish() {
  epoch_++;
  std::vector<MemberId> active;
  for (auto& [id, m] : infos_)
    if (m.state == MemberState::Active) active.push_back(id);
  // Keep homes where they may stay and are not too many; move the rest to those with the fewest.
  const auto old = homes_;
  if (homes_.empty()) homes_.assign(kShards, kNoMember);
  if (!active.empty()) {
    std::map<MemberId, size_t> load;
    for (auto id : active) load[id] = 0;
    const size_t fair = (kShards + active.size() - 1) / active.size();
    for (auto& h : homes_) {
      auto at = load.find(h);
      if (at == load.end() || at->second >= fair) h = kNoMember;
      else at->second++;
    }
    for (auto& h : homes_)
      if (h == kNoMember) {
        h = std::min_element(load.begin(), load.end(), [](auto& a, auto& b) { return a.second < b.second; })->first;
        load[h]++;
      }
  }
  ViewChange full, delta;
  full.epoch = delta.epoch = epoch_;
  full.full = true;
  for (auto& [id, m] : infos_) {
    full.members.push_back(m);
    delta.members.push_back(m);
  }
  for (uint32_t s = 0; s < kShards; s++) {
    full.shards.push_back({s, 1, homes_[s]});
    if (old.empty() || old[s] != homes_[s]) delta.shards.push_back({s, 1, homes_[s]});
  }
  for (auto id : known_)
    if (!infos_.count(id)) delta.gone.push_back(id);
  for (auto& [id, n] : nodes_) {
    if (n->dead) continue;
    n->views.push_back(known_.count(id) ? delta : full);
    busy_.emplace_back(id, id);
  }
  known_.clear();
  for (auto& [id, m] : infos_) known_.insert(id);
}

void World::remove(MemberId id) { infos_.erase(id); }

void World::kill(MemberId id) {
  node(id).dead = true;
  infos_.erase(id);
  slow_.erase(id);
  std::erase_if(busy_, [&](auto& w) { return w.first == id || w.second == id; });
  for (auto& [ends, wire] : wires_)
    if (ends.first == id || ends.second == id) wire.frames.clear();
}

bool World::quiet(MemberId id) const {
  for (auto at = wires_.lower_bound({id, 0}); at != wires_.end() && at->first.first == id; ++at)
    if (!at->second.frames.empty()) return false;
  return true;
}

void World::retire(MemberId id) {
  node(id).dead = true;
  infos_.erase(id);
  slow_.erase(id);
  std::erase_if(busy_, [&](auto& w) { return w.second == id; });
  for (auto& [ends, wire] : wires_)
    if (ends.second == id) wire.frames.clear();
}

void World::inject(MemberId from, MemberId to, Frame frame) {
  wires_[{from, to}].frames.push_back(std::move(frame));
  busy_.emplace_back(from, to);
}

void World::take(Node& n, Outbox& out) {
  for (auto& s : out.sends) {
    if (!nodes_.count(s.to)) {
      problems.push_back("member " + std::to_string(n.id) + " sends to unknown member " + std::to_string(s.to));
      continue;
    }
    if (nodes_[s.to]->dead) continue;
    auto& wire = wires_[{n.id, s.to}];
    wire.frames.push_back(std::move(s.frame));
    busy_.emplace_back(n.id, s.to);
  }
  if (out.held) busy_.emplace_back(n.id, kRelease);
  if (out.more) busy_.emplace_back(n.id, kProceed);
  if (!out.done.empty() && n.done.empty()) with_done_.push_back(n.id);
  for (auto* op : out.done) {
    n.done.push_back(op);
    done_.insert(op);
  }
  for (auto* f : out.functions) n.functions.push_back(f);
  for (auto& l : out.logs)
    if (l.level >= 40) problems.push_back("member " + std::to_string(n.id) + ": " + l.line);
  for (auto id : out.hang_up) problems.push_back("member " + std::to_string(n.id) + " hangs up on " + std::to_string(id));
  if (out.drained) n.drained = true;
  if (check_level)
    if (auto why = n.engine->check(check_level); !why.empty()) problems.push_back("member " + std::to_string(n.id) + ": " + why);
  while (run_function && !n.functions.empty()) {
    auto* f = n.functions.front();
    n.functions.pop_front();
    run_function(n, f);
    Outbox more;
    n.engine->function_done(f, more);
    take(n, more);
  }
}

bool World::submit(MemberId at, Op* op) {
  Outbox out;
  const bool done = node(at).engine->submit(op, out);
  take(node(at), out);
  return done;
}
bool World::resume(MemberId at, Op* op) {
  Outbox out;
  const bool done = node(at).engine->resume(op, out);
  take(node(at), out);
  return done;
}
void World::park(MemberId at, Op* op) {
  Outbox out;
  node(at).engine->park(op, out);
  take(node(at), out);
}
void World::flush(MemberId at) {
  Outbox out;
  node(at).engine->flush(out);
  take(node(at), out);
}
void World::drain(MemberId at) {
  Outbox out;
  node(at).engine->drain(out);
  take(node(at), out);
}

void World::deliver(MemberId from, MemberId to) {
  Outbox out;
  auto& n = node(to < 0 ? from : to);
  if (to < 0) {
    if (n.dead) return;
    to == kRelease ? n.engine->release(out) : n.engine->proceed(out);
    return take(n, out);
  }
  if (from == to) {
    auto view = std::move(n.views.front());
    n.views.pop_front();
    n.engine->apply(view, out);
  } else {
    auto& wire = wires_[{from, to}];
    auto frame = std::move(wire.frames.front());
    wire.frames.pop_front();
    if (tamper && !tamper(*this, from, to, frame)) return;
    std::vector<std::byte> body;
    body.reserve(frame.body_size());
    for (auto& s : frame.body) body.insert(body.end(), s.data, s.data + s.size);
    frame.body.clear();
    // Half of the time as the transport does it: straight into its place.
    std::byte* place = body.empty() || rng_() % 2 ? nullptr : n.engine->sink(from, frame.head, body.size());
    if (place) {
      std::copy(body.begin(), body.end(), place);
      n.engine->receive(from, frame.head, {place, body.size()}, out);
    } else {
      n.engine->receive(from, frame.head, body, out);
    }
  }
  delivered_++;
  take(n, out);
}

bool World::step() {
  if (busy_.empty()) return false;
  auto at = rng_() % busy_.size();
  if (!slow_.empty())
    for (int again = 0; again < 8 && (slow_.count(busy_[at].first) || slow_.count(busy_[at].second)); again++) at = rng_() % busy_.size();
  const auto [from, to] = busy_[at];
  busy_[at] = busy_.back();
  busy_.pop_back();
  deliver(from, to);
  return true;
}

void World::settle(int limit) {
  while (step())
    if (--limit == 0) throw std::runtime_error("the members do not come to rest");
}

bool World::is_done(Op* op) { return done_.erase(op) > 0; }

void World::wait(Op* op, MemberId at) {
  for (int i = 0; !is_done(op); i++) {
    if (i % 16 == 0 && node(at).engine->wants_flush()) flush(at);
    if (!step()) {
      for (auto& [id, n] : nodes_)
        if (!n->dead && n->engine->wants_flush()) flush(id);
      if (busy_.empty() && !is_done(op)) throw std::runtime_error("an operation is not answered and nothing is in flight");
      else if (busy_.empty()) return;
    }
  }
}

}  // namespace dmi::memory::sim
