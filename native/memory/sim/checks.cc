// What is looked at while a job runs, all members at once: nobody in the job could see it.
#include <algorithm>

#include "checks.h"
#include "job.h"
#include "memory/core/engine_impl.h"

namespace dmi::memory::sim {

uint64_t overtaken(const std::vector<uint64_t>& before, const std::vector<uint64_t>& now) {
  // Who is still there stands as before, at the front, and nobody who stood behind one of them has left.
  const auto first = std::find_if(before.begin(), before.end(), [&](uint64_t w) { return std::find(now.begin(), now.end(), w) != now.end(); });
  auto at = now.begin();
  for (auto w = first; w != before.end(); ++w, ++at)
    if (at == now.end() || *at != *w) return *first;
  return 0;
}

// One owner per page. A copy that can be read is never older than what the owner has shown to anybody, and one of the same
// version holds the same bytes.
void Job::check_pages() {
  struct Truth { const Page* page; MemberId at; };
  std::map<PageKey, Truth> truth;
  report_.looks++;
  for (auto& node : world_.nodes()) {
    auto& n = node.second;  // by name: lambdas may not capture parts of a structured binding everywhere
    if (n->dead) continue;
    static_cast<EngineImpl&>(*n->engine).each_page([&](Page& p) {
      if (p.role != Role::Owned) return;
      if (!truth.emplace(p.key, Truth{&p, n->id}).second) fail("page " + std::to_string(p.key) + " has two owners");
      auto& seen = seen_version_[p.key];
      if (p.ver < seen) fail("page " + std::to_string(p.key) + " has gone back to an older version at member " + std::to_string(n->id));
      seen = std::max(seen, p.ver);
    });
  }
  for (auto& node : world_.nodes()) {
    auto& n = node.second;
    if (n->dead) continue;
    static_cast<EngineImpl&>(*n->engine).each_page([&](Page& p) {
      if (p.role != Role::Copy || !(p.access & Page::kRead)) return;
      const auto name = "the copy of page " + std::to_string(p.key) + " at member " + std::to_string(n->id);
      const auto seen = seen_version_.find(p.key);
      if (seen != seen_version_.end() && p.ver < seen->second) fail(name + " is stale: version " + std::to_string(p.ver) + " of " + std::to_string(seen->second));
      const auto owner = truth.find(p.key);
      if (owner != truth.end() && owner->second.page->ver == p.ver && std::memcmp(owner->second.page->data, p.data, static_cast<size_t>(p.size)) != 0)
        fail(name + " differs from its owner's, member " + std::to_string(owner->second.at));
    });
  }
}

// Every waiter stands in one queue, and nobody overtakes anybody who waits for the same mutex, wherever the mutex's home is.
void Job::check_queues() {
  std::set<uint64_t> ids;
  const auto once = [&](uint64_t id) {
    if (!ids.insert(id).second) fail("a waiter stands in two queues");
  };
  std::map<uint64_t, std::vector<uint64_t>> seen;
  for (auto& [id, n] : world_.nodes()) {
    if (n->dead) continue;
    static_cast<EngineImpl&>(*n->engine).each_shard_sync([&](SyncObjects& s) {
      for (auto& [name, m] : s.mutexes)
        for (auto& w : m.queue) {
          once(w.id);
          seen[name].push_back(w.id);
        }
      for (auto* queues : {&s.conditions, &s.mailboxes})
        for (auto& [name, q] : *queues)
          for (auto& w : q.queue) once(w.id);
      for (auto& [name, e] : s.events)
        for (auto& w : e.queue) once(w.id);
      for (auto& [name, b] : s.barriers) {
        for (auto& w : b.singles) once(w.id);
        for (auto& a : b.batches) once(a.id);
      }
      for (auto& [waiter, grant] : s.held) once(waiter);
    });
  }
  // A mutex whose home is changing is in nobody's hands; it is compared with what it was when it arrives.
  for (auto& [name, now] : seen) {
    auto& before = queue_seen_[name];
    if (overtaken(before, now)) fail("a thread that waited for a mutex was overtaken");
    before = now;
  }
}

// When nothing is in flight, as many waiters are known to homes as threads wait: none is lost, none left over.
void Job::check_waiters_at_rest() {
  size_t known = 0, waiting = 0;
  for (auto& [id, n] : world_.nodes()) {
    if (n->dead) continue;
    if (n->engine->wants_flush()) return;
    known += static_cast<EngineImpl&>(*n->engine).arrivals_kept();
    static_cast<EngineImpl&>(*n->engine).each_shard_sync([&](SyncObjects& s) {
      for (auto& [name, m] : s.mutexes) known += m.queue.size();
      for (auto* queues : {&s.conditions, &s.mailboxes})
        for (auto& [name, q] : *queues) known += q.queue.size();
      for (auto& [name, e] : s.events) known += e.queue.size();
      for (auto& [name, b] : s.barriers) {
        known += b.singles.size();
        for (auto& a : b.batches) known += a.count;
      }
      known += s.held.size();
    });
  }
  for (auto& t : threads_) {
    if (t.dead || !t.waiting || !is_long(t.op.kind) || t.op.kind == OpKind::Watch) continue;
    if (t.parking) return;                    // a question to a home may be under way
    if (t.parked && t.op.waiter == 0) continue;  // keeps no place: resuming it asks anew
    waiting++;
  }
  report_.rests++;
  if (known != waiting) fail(std::to_string(waiting) + " threads wait, but homes know of " + std::to_string(known) + ":" + who_waits());
}

}  // namespace dmi::memory::sim
