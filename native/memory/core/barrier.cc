// Barriers and allreduce. Arrivals of threads of one member are collected until flush(), or until they alone are enough,
// and travel as one message; so does their release. At the home they need not travel: they stay collected until those of
// other members come, or until they are all. The home combines the values of all arrivals at once, in a way that
// does not depend on their order, so every run gives the same bits wherever the threads are.
#include "messages.h"

namespace dmi::memory {

static bool alike(const Op& a, const Op& b) {
  return a.kind == b.kind && a.pnum == b.pnum && a.reduce_op == b.reduce_op && a.reduce_type == b.reduce_type;
}

void EngineImpl::start_barrier(Op* op) {
  if (op->pnum <= 0) return complete_now(op, EINVAL, text("%d participants: a barrier needs at least 1", op->pnum));
  const bool reduces = op->kind == OpKind::Allreduce;
  const auto size = reduces ? reduce_size(op->reduce_type) : 0;
  if (reduces && (size == 0 || op->reduce_op < ReduceOp::Max || op->reduce_op > ReduceOp::Prod || !op->in))
    return complete_now(op, EINVAL, text("allreduce knows no operation %d on type %d", static_cast<int>(op->reduce_op), static_cast<int>(op->reduce_type)));
  op->value = 0;
  const auto name = static_cast<uint64_t>(op->addr);
  const auto [at, first] = barriers_.try_emplace(name);
  auto& local = at->second;
  if (first) {
    local.arrived.swap(spare_arrived_);
    const auto* here = home_of_name(name);
    local.kept = here != nullptr;
    if (here) local.due = arrivals_due(here->sync, *op);
  } else {
    local.alike = local.alike && alike(*op, *local.arrived.back());
  }
  local.arrived.push_back(op);
  if (!local.kept) unflushed_.fetch_add(1, std::memory_order_relaxed);
  const auto enough = local.kept ? local.due : static_cast<uint32_t>(op->pnum);
  if (local.arrived.size() >= enough || (local.kept && !local.alike)) flush_barrier(name);
}

// How many arrivals like this one, at the home, complete the object, or do not fit it and should be told at once. It does not
// change while they are kept: who else could change it (strangers, a new home, the end of the mapping) has them flushed first.
uint32_t EngineImpl::arrivals_due(const SyncObjects& s, const Op& first) const {
  const auto pnum = static_cast<uint32_t>(first.pnum);
  const auto at = s.barriers.find(static_cast<uint64_t>(first.addr));
  if (at == s.barriers.end()) return pnum;
  const auto& b = at->second;
  const bool reduces = first.kind == OpKind::Allreduce;
  const bool fits = b.pnum == pnum && b.reduce == reduces && (!reduces || (b.op == first.reduce_op && b.type == first.reduce_type));
  return fits ? b.pnum - b.arrived : 1;
}

// One more arrival that is kept with others like it and is not the last one: the same as start() and start_barrier() would do.
// False: it is not that.
bool EngineImpl::arrive_at_once(Op& op) {
  if (op.kind != OpKind::Barrier && op.kind != OpKind::Allreduce) return false;
  const auto at = barriers_.find(static_cast<uint64_t>(op.addr));
  if (at == barriers_.end()) return false;
  auto& local = at->second;
  if (!local.kept || local.arrived.size() + 1 >= local.due || !alike(op, *local.arrived.back())) return false;
  if (op.kind == OpKind::Allreduce && !op.in) return false;
  op.value = 0;
  local.arrived.push_back(&op);
  return true;
}

void EngineImpl::flush(Outbox& out) {
  Entry entry(*this, out);
  flush_travelling();
}

void EngineImpl::flush_travelling() {
  for (auto at = barriers_.begin(); at != barriers_.end();) {
    const auto here = at++;
    if (!here->second.kept) flush_barrier(here->first);
  }
}

// The mapping is about to be forgotten, with the objects in it: all that wait there should be known to them.
void EngineImpl::flush_mapping(uint32_t mapping) {
  for (auto at = barriers_.begin(); at != barriers_.end();) {
    const auto here = at++;
    if (mapping_of(here->first) == mapping) flush_barrier(here->first);
  }
}

size_t EngineImpl::arrivals_kept() const {
  size_t sum = 0;
  for (auto& [name, local] : barriers_) sum += local.kept ? local.arrived.size() : 0;
  return sum;
}

// What goes with an arrival, in a word.
static uint64_t value_of(const Op& op) {
  uint64_t value = 0;
  if (op.kind == OpKind::Allreduce) std::memcpy(&value, op.in, reduce_size(op.reduce_type));
  return value;
}

void EngineImpl::flush_barrier(uint64_t name) {
  auto at = barriers_.find(name);
  if (at == barriers_.end()) return;
  auto local = std::move(at->second);
  auto& arrived = local.arrived;
  barriers_.erase(at);
  if (!local.kept) unflushed_.fetch_sub(static_cast<int64_t>(arrived.size()), std::memory_order_relaxed);
  if (local.alike && arrived.size() == static_cast<size_t>(arrived.front()->pnum) && complete_here(name, arrived)) arrived.clear();
  // Usually one batch. Calls that differ in kind or pnum go separately, for the home to refuse.
  while (!arrived.empty()) {
    const Op& like = *arrived.front();
    SyncReq r;
    r.kind = static_cast<uint8_t>(like.kind);
    r.member = self_;
    r.since = view_.epoch();
    r.id = (static_cast<uint64_t>(static_cast<uint32_t>(self_)) << 40) | next_op_++;
    r.name = name;
    r.pnum = static_cast<uint32_t>(like.pnum);
    r.op = like.reduce_op;
    r.type = like.reduce_type;
    std::vector<OpState*> batch;
    std::vector<uint64_t> values;
    std::erase_if(arrived, [&](Op* op) {
      if (op != &like && !alike(*op, like)) return false;
      auto& s = new_state(op);
      op->waiter = s.id;
      s.batch = r.id;
      batch.push_back(&s);
      if (like.kind == OpKind::Allreduce) values.push_back(value_of(*op));
      return true;
    });
    r.count = static_cast<uint32_t>(batch.size());
    batches_out_[r.id] = std::move(batch);
    sync_to_home(r, std::as_bytes(std::span(values)));
  }
  if (spare_arrived_.capacity() < arrived.capacity()) spare_arrived_.swap(arrived);
}

// Everybody is a thread of this member, and this member is the object's home: nobody needs to be asked, and no place kept.
bool EngineImpl::complete_here(uint64_t name, const std::vector<Op*>& all) {
  const auto* here = home_of_name(name);
  if (!here || here->sync.barriers.count(name)) return false;
  const Op& like = *all.front();
  if (like.kind == OpKind::Allreduce) {
    std::vector<uint64_t> values;
    values.reserve(all.size());
    for (auto* op : all) values.push_back(value_of(*op));
    const uint64_t result = reduce(like.reduce_op, like.reduce_type, values);
    for (auto* op : all)
      if (op->out) std::memcpy(op->out, &result, reduce_size(op->reduce_type));
  }
  // They are as submit() and start_barrier() left them, which is how they end: with many threads each look at them takes
  // longer than all the rest.
  for (auto* op : all)
    if (op == submitting_) submitted_done_ = true;
    else out_->done.push_back(op);
  return true;
}

// Parking an arrival that has not left: it takes its place in no queue, and arrives anew where it is resumed.
bool EngineImpl::withdraw(Op* op) {
  if (op->kind != OpKind::Barrier && op->kind != OpKind::Allreduce) return false;
  auto at = barriers_.find(static_cast<uint64_t>(op->addr));
  if (at == barriers_.end() || std::erase(at->second.arrived, op) == 0) return false;
  if (!at->second.kept) unflushed_.fetch_sub(1, std::memory_order_relaxed);
  if (at->second.arrived.empty()) barriers_.erase(at);
  op->parked = true;
  out_->done.push_back(op);
  return true;
}

// ---- at the home -------------------------------------------------------------------------------------------------------
constexpr uint32_t kMostArrivals = 1 << 20;  // in one message; each may cost an answer

void EngineImpl::arrive(SyncObjects& s, const SyncReq& m, Bytes data) {
  const bool reduces = m.kind == static_cast<uint8_t>(OpKind::Allreduce);
  uint32_t left = m.count;
  if (m.pnum == 0 || left == 0 || left > kMostArrivals || (reduces && (reduce_size(m.type) == 0 || m.op < ReduceOp::Max || m.op > ReduceOp::Prod)))
    return reply(m.member, m.id, SyncAns::Release, EINVAL, left);
  // Who came first counts first. These may be our own, sent to where the home was and forwarded to us: then, too, those that have
  // stayed here must be counted.
  flush_barrier(m.name);
  while (left > 0) {
    auto& b = s.barriers[m.name];
    if (b.arrived == 0) {
      b.reduce = reduces;
      b.op = m.op;
      b.type = m.type;
      b.pnum = m.pnum;
    } else if (b.reduce != reduces || b.pnum != m.pnum || (reduces && (b.op != m.op || b.type != m.type))) {
      return reply(m.member, m.id, SyncAns::Release, EINVAL, left);
    }
    const auto take = std::min(left, b.pnum - b.arrived);
    b.batches.push_back({m.member, m.id, take, {}});
    b.arrived += take;
    for (uint32_t i = 0; reduces && i < take; i++) {
      uint64_t v;
      std::memcpy(&v, data.data() + 8 * (m.count - left + i), 8);
      b.values.push_back(v);
    }
    left -= take;
    if (b.arrived == b.pnum) complete_barrier(s, m.name);
  }
}

void EngineImpl::complete_barrier(SyncObjects& s, uint64_t name) {
  auto node = s.barriers.extract(name);
  auto& b = node.mapped();
  std::byte result[8] = {};
  if (b.reduce) {
    const uint64_t v = reduce(b.op, b.type, b.values);
    std::memcpy(result, &v, 8);
  }
  const Bytes data{result, b.reduce ? 8u : 0u};
  for (auto& w : b.singles) grant(s, w, 0, 0, data);
  for (auto& batch : b.batches) reply(batch.member, batch.id, SyncAns::Release, 0, batch.count, data, std::move(batch.except));
}

// ---- where the threads are ---------------------------------------------------------------------------------------------
void EngineImpl::released(const SyncAns& m, Bytes data) {
  auto at = batches_out_.find(m.id);
  if (at == batches_out_.end()) return;
  if (!m.error && at->second.front()->op->kind == OpKind::Allreduce && data.size() != 8) return;
  auto batch = std::move(at->second);
  batches_out_.erase(at);
  std::vector<OpState*> stay;
  int64_t gone = 0;
  for (auto* s : batch) {
    if (gone >= m.value || std::find(m.except.begin(), m.except.end(), s->id) != m.except.end()) {
      stay.push_back(s);
      continue;
    }
    gone++;
    s->batch = 0;
    finish_sync(*s, m.error, 0, data);
  }
  if (!stay.empty()) batches_out_[m.id] = std::move(stay);
}

}  // namespace dmi::memory
