#include "run.h"

#include <cmath>

#include "job.h"
#include "memory/core/engine_impl.h"

namespace dmi::memory::sim {

Job::Job(const Options& options) : options_(options), world_(options.seed) {
  world_.check_level = options.check_level;
  world_.tamper = options.tamper;
  world_.run_function = [](World::Node&, FunctionCall* f) {
    uint64_t v, add;
    std::memcpy(&v, f->page, 8);
    std::memcpy(&add, f->in, 8);
    std::memcpy(f->out, &v, 8);
    v += add;
    std::memcpy(f->page, &v, 8);
  };
}

void Job::fail(std::string why) {
  if (report_.failure.empty()) report_.failure = std::move(why);
}

MemberId Job::place(bool lite_too) {
  std::vector<MemberId> fit;
  for (auto& [id, n] : world_.nodes())
    if (!n->dead && !leaving_.count(id) && !mortal_.count(id) && (lite_too || n->engine->stats().pool >= 0)) fit.push_back(id);
  return fit[random(fit.size())];
}

Thread& Job::spawn(MemberId at) {
  auto& t = threads_.emplace_back();
  t.number = static_cast<int>(threads_.size()) - 1;
  t.key = (1ull << 32) + threads_.size();
  t.at = at;
  return t;
}

bool Job::begin(Thread& t) {
  if (!t.mortal && (leaving_.count(t.at) || random(12) == 0)) {
    t.at = place(true);
    report_.moves++;
  }
  report_.operations++;
  if (!t.rescuer) progress_++;
  t.op.user = &t;
  return world_.submit(t.at, &t.op);
}

void Job::resume_done() {
  for (auto id : world_.with_done()) {
    auto done = std::exchange(world_.node(id).done, {});
    for (auto* op : done) {
      world_.is_done(op);
      auto& t = *static_cast<Thread*>(op->user);
      if (op->parked) {
        t.parking = false;
        t.parked = true;
        continue;
      }
      t.parking = false;
      if (auto h = std::exchange(t.waiting, {})) h.resume();
    }
  }
}

void Job::move_somebody() {
  std::vector<Thread*> candidates;
  for (auto& t : threads_)
    if (!t.dead && !t.mortal && t.waiting && is_long(t.op.kind)) candidates.push_back(&t);
  if (candidates.empty()) return;
  auto& t = *candidates[random(candidates.size())];
  if (t.parked) {
    t.parked = false;
    t.at = place(true);
    report_.moves++;
    if (world_.resume(t.at, &t.op))
      if (auto h = std::exchange(t.waiting, {})) h.resume();
  } else if (!t.parking) {
    t.parking = true;
    world_.park(t.at, &t.op);
  }
}

void Job::look_after_leavers() {
  for (auto at = leavers_.begin(); at != leavers_.end();) {
    auto& [id, asked] = *at;
    bool empty = true;
    for (auto& t : threads_) {
      if (t.dead || t.at != id || !t.waiting || t.parked) continue;
      empty = false;
      if (is_long(t.op.kind) && !t.parking) {
        t.parking = true;
        world_.park(id, &t.op);
      }
    }
    if (empty && !asked) {
      asked = true;
      world_.drain(id);
    }
    if (world_.node(id).drained && world_.quiet(id)) {
      world_.retire(id);
      world_.publish();
      report_.drains++;
      at = leavers_.erase(at);
    } else {
      ++at;
    }
  }
}

void Job::membership() {
  int active = 0, live = 0;
  for (auto& [id, n] : world_.nodes())
    if (!n->dead) {
      live++;
      active += !leaving_.count(id) && !mortal_.count(id);
    }
  const auto what = random(10);
  if (what < 4 && live < 2 * options_.members) {
    const bool lite = random(3) == 0;
    auto& n = world_.add(lite ? MemberState::Lite : MemberState::Active, options_.pool);
    if (lite) {
      mortal_.insert(n.id);
      auto& t = spawn(n.id);
      t.mortal = true;
      t.script = mortal_life(t);
    }
    world_.publish();
    report_.joins++;
    if (lite) threads_.back().script.start();
  } else if (what < 8 && active > std::max(1, options_.members / 2)) {
    const auto id = place(false);
    leaving_.insert(id);
    leavers_[id] = false;
    world_.set_state(id, MemberState::Draining);
    world_.publish();
  } else if (!mortal_.empty()) {
    const auto id = *mortal_.begin();
    mortal_.erase(mortal_.begin());
    for (auto& t : threads_)
      if (t.mortal && t.at == id) t.dead = true;
    world_.kill(id);
    world_.publish();
    report_.deaths++;
  }
}

// One member is slow for a while, then another; at the end none.
void Job::slow_down() {
  for (auto& [id, n] : world_.nodes()) world_.set_slow(id, false);
  if (closing_) return;
  auto at = world_.nodes().begin();
  std::advance(at, random(world_.nodes().size()));
  if (at->second->dead) return;
  world_.set_slow(at->first, true);
  report_.slowed++;
}

bool Job::act() {
  const auto dice = random(1000);
  if (dice < 3 && options_.churn && !closing_) membership();
  if (options_.slow && (closing_ || dice == 999)) slow_down();
  else if (dice < 60) move_somebody();
  if (dice % 4 == 0)
    for (auto& [id, n] : world_.nodes())
      if (!n->dead && n->engine->wants_flush() && random(3) == 0) world_.flush(id);
  if (!paused_.empty() && (random(3) == 0 || world_.in_flight() == 0)) {
    std::swap(paused_[random(paused_.size())], paused_.back());
    auto [t, h] = paused_.back();
    paused_.pop_back();
    if (!t->dead) h.resume();
    return true;
  }
  return world_.step();
}

std::string Job::who_waits() {
  std::string who;
  for (auto& t : threads_)
    if (!t.dead && t.waiting) who += " thread " + std::to_string(t.number) + " in operation " + std::to_string(static_cast<int>(t.op.kind)) +
                                     " at member " + std::to_string(t.at) + (t.parking ? " parking" : "") + (t.parked ? " parked" : "") + ";";
  return who;
}

Report Job::run() {
  for (int i = 0; i < options_.members; i++) world_.add(MemberState::Active, options_.pool);
  world_.publish();
  groups_.resize(static_cast<size_t>(std::max(1, options_.threads / 5)));
  rescuer_ = &spawn(0);
  rescuer_->rescuer = true;
  const auto alone = [&](Script script) {
    rescuer_->script = std::move(script);
    rescuer_->script.start();
    for (int i = 0; i < 200'000 && !rescuer_->script.done() && report_.failure.empty(); i++) {
      look_after_leavers();
      if (!world_.step() && !rescuer_->parked) { fail("an operation of a lone thread is never answered"); break; }
      resume_done();
    }
  };
  alone(setup(*rescuer_));
  for (int i = 0; i < options_.threads; i++) {
    auto& t = spawn(place(true));
    groups_[static_cast<size_t>(t.number) % groups_.size()].size++;
    t.script = life(t);
  }
  {
    std::vector<Thread*> all;
    for (auto& t : threads_)
      if (!t.rescuer) all.push_back(&t);
    for (auto* t : all) t->script.start();
  }
  const auto all_done = [&] {
    for (auto& t : threads_)
      if (!t.dead && !t.rescuer && !t.script.done()) return false;
    return rescuer_->script.done();
  };
  uint64_t idle = 0;
  const auto limit = static_cast<uint64_t>(options_.steps);
  const auto look_every = static_cast<uint64_t>(std::max(64, 4 * options_.members));  // a look costs something per member
  while (report_.failure.empty()) {
    report_.steps++;
    if (!closing_ && report_.steps >= limit) closing_ = true;
    if (closing_ && all_done()) break;
    if (report_.steps > 20 * limit + 200'000) fail("the job does not come to its end:" + who_waits());
    const auto before = progress_;
    const bool moved = act();
    resume_done();
    look_after_leavers();
    if (!world_.problems.empty()) fail(world_.problems.front());
    if (report_.steps % look_every == 0) {
      check_pages();
      check_queues();
    }
    if (moved || progress_ != before) {
      idle = 0;
      continue;
    }
    // Nothing is in flight. Somebody may be parked or combined; otherwise all wait for each other.
    idle++;
    if (world_.in_flight() == 0 && !world_.any_done()) check_waiters_at_rest();
    for (auto& [id, n] : world_.nodes())
      if (!n->dead && n->engine->wants_flush()) world_.flush(id);
    for (auto& t : threads_)
      if (t.parked) {
        t.parked = false;
        t.at = place(true);
        if (world_.resume(t.at, &t.op))
          if (auto h = std::exchange(t.waiting, {})) h.resume();
      }
    if (rescuer_->script.done() && world_.in_flight() == 0) {
      rescuer_->script = rescue(*rescuer_);
      rescuer_->script.start();
    }
    if (idle > 2000) fail("operations are never answered:" + who_waits());
  }
  if (report_.failure.empty()) {
    for (int i = 0; i < 1'000'000 && world_.step(); i++) { resume_done(); look_after_leavers(); }
    alone(finish(*rescuer_));
    for (auto& [id, asked] : leavers_) {
      const auto* why = static_cast<EngineImpl&>(*world_.node(id).engine).holds_up_drain();
      fail("member " + std::to_string(id) + " never finishes its drain: " + (asked ? why ? why : "it does not say" : "never asked"));
    }
    check_pages();
    check_queues();
    for (auto& [id, n] : world_.nodes())
      if (!n->dead)
        if (auto why = n->engine->check(2); !why.empty()) fail("member " + std::to_string(id) + ": " + why);
  }
  if (report_.failure.empty() && !world_.problems.empty()) fail(world_.problems.front());
  if (report_.failure.empty()) {
    maps_.push_back(big_);
    for (auto& m : maps_)
      for (size_t i = 0; i < m.histories.size(); i++) {
        report_.checked += m.histories[i].size();
        if (auto why = m.histories[i].check(); !why.empty())
          fail("page " + std::to_string(i) + " of the mapping with pages of " + std::to_string(m.page_size) + " bytes is not linearizable: " + why);
      }
  }
  report_.delivered = world_.delivered();
  for (auto& [id, n] : world_.nodes()) {
    report_.evicted += n->engine->stats().pages_evicted;
    report_.swapped += n->engine->stats().pages_swapped;
  }
  if (!report_.failure.empty() && options_.describe)
    for (auto& [id, n] : world_.nodes())
      if (!n->dead) report_.failure += "\n" + static_cast<EngineImpl&>(*n->engine).describe();
  if (!report_.failure.empty()) report_.failure += "\n  replay: " + replay_command(options_);
  return report_;
}

Report run(const Options& options) { return Job(options).run(); }

std::string replay_command(const Options& o) {
  return "memory_sim --seed " + std::to_string(o.seed) + " --steps " + std::to_string(o.steps) + " --members " + std::to_string(o.members) +
         " --threads " + std::to_string(o.threads) + (o.churn ? "" : " --no-churn") + (o.slow ? " --slow" : "") +
         (o.pool == kAmplePool ? "" : " --pool " + std::to_string(o.pool)) + " --check " + std::to_string(o.check_level);
}

Options scenario(uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto unit = [&] { return static_cast<double>(random() >> 11) * 0x1p-53; };
  Options o;
  o.seed = seed;
  o.members = static_cast<int>(2 * std::pow(100.5, unit()));  // as many of 2 to 4 as of 100 to 200
  o.threads = std::max(10, o.members + static_cast<int>(unit() * o.members));
  o.steps = 10'000 + 50 * o.members;
  o.slow = random() % 2;
  o.check_level = o.members <= 8 ? 2 : 1;
  if (o.members >= 4 && o.members <= 12 && random() % 3 == 0) o.pool = 6'000;  // not enough for what lies in them: copies go, pages move
  return o;
}

}  // namespace dmi::memory::sim
