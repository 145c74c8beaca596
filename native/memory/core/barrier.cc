// Barriers and allreduce. Arrivals of threads of one member are collected until flush(), or until they alone are enough,
// and travel as one message; so does their release. The home combines the values of all arrivals at once, in a way that
// does not depend on their order, so every run gives the same bits wherever the threads are.
#include "messages.h"

namespace dmi::memory {

void EngineImpl::start_barrier(Op* op) {
  if (op->pnum <= 0) return complete_now(op, EINVAL, text("%d participants: a barrier needs at least 1", op->pnum));
  const bool reduces = op->kind == OpKind::Allreduce;
  const auto size = reduces ? reduce_size(op->reduce_type) : 0;
  if (reduces && (size == 0 || op->reduce_op < ReduceOp::Max || op->reduce_op > ReduceOp::Prod || !op->in))
    return complete_now(op, EINVAL, text("allreduce knows no operation %d on type %d", static_cast<int>(op->reduce_op), static_cast<int>(op->reduce_type)));
  auto& s = new_state(op);
  op->waiter = s.id;
  s.unflushed = true;
  s.scratch.assign(8, std::byte{0});
  if (reduces) std::memcpy(s.scratch.data(), op->in, size);
  auto& local = barriers_[static_cast<uint64_t>(op->addr)];
  local.arrived.push_back(&s);
  unflushed_.fetch_add(1, std::memory_order_relaxed);
  if (local.arrived.size() >= static_cast<size_t>(op->pnum)) flush_barrier(static_cast<uint64_t>(op->addr));
}

void EngineImpl::flush(Outbox& out) {
  Entry entry(*this, out);
  while (!barriers_.empty()) flush_barrier(barriers_.begin()->first);
}

void EngineImpl::flush_barrier(uint64_t name) {
  auto at = barriers_.find(name);
  if (at == barriers_.end()) return;
  auto arrived = std::move(at->second.arrived);
  barriers_.erase(at);
  unflushed_.fetch_sub(static_cast<int64_t>(arrived.size()), std::memory_order_relaxed);
  // Usually one batch. Calls that differ in kind or pnum go separately, for the home to refuse.
  while (!arrived.empty()) {
    const Op like = *arrived.front()->op;
    std::vector<OpState*> batch, rest;
    for (auto* s : arrived)
      (s->op->kind == like.kind && s->op->pnum == like.pnum && s->op->reduce_op == like.reduce_op && s->op->reduce_type == like.reduce_type ? batch : rest).push_back(s);
    arrived = std::move(rest);
    SyncReq r;
    r.kind = static_cast<uint8_t>(like.kind);
    r.member = self_;
    r.since = view_.epoch();
    r.id = (static_cast<uint64_t>(static_cast<uint32_t>(self_)) << 40) | next_op_++;
    r.name = name;
    r.pnum = static_cast<uint32_t>(like.pnum);
    r.count = static_cast<uint32_t>(batch.size());
    r.op = like.reduce_op;
    r.type = like.reduce_type;
    std::vector<std::byte> values;
    for (auto* s : batch) {
      s->unflushed = false;
      s->batch = r.id;
      if (like.kind == OpKind::Allreduce) values.insert(values.end(), s->scratch.begin(), s->scratch.end());
    }
    batches_out_[r.id] = std::move(batch);
    sync_to_home(r, values);
  }
}

// Parking an arrival that has not left: it takes its place in no queue, and arrives anew where it is resumed.
void EngineImpl::withdraw(OpState& s) {
  auto at = barriers_.find(static_cast<uint64_t>(s.op->addr));
  std::erase(at->second.arrived, &s);
  if (at->second.arrived.empty()) barriers_.erase(at);
  unflushed_.fetch_sub(1, std::memory_order_relaxed);
  complete_parked(s, false);
}

// ---- at the home -------------------------------------------------------------------------------------------------------
constexpr uint32_t kMostArrivals = 1 << 20;  // in one message; each may cost an answer

void EngineImpl::arrive(SyncObjects& s, const SyncReq& m, Bytes data) {
  const bool reduces = m.kind == static_cast<uint8_t>(OpKind::Allreduce);
  uint32_t left = m.count;
  if (m.pnum == 0 || left == 0 || left > kMostArrivals || (reduces && (reduce_size(m.type) == 0 || m.op < ReduceOp::Max || m.op > ReduceOp::Prod)))
    return reply(m.member, m.id, SyncAns::Release, EINVAL, left);
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
  std::vector<OpState*> go;
  for (auto* s : at->second)
    if (static_cast<int64_t>(go.size()) < m.value && std::find(m.except.begin(), m.except.end(), s->id) == m.except.end()) go.push_back(s);
  if (!m.error && !go.empty() && go.front()->op->kind == OpKind::Allreduce && data.size() != 8) return;
  for (auto* s : go) finish_sync(*s, m.error, 0, data);  // leaves the batch
}

}  // namespace dmi::memory
