// Entry points, and the way of a message in and out.
#include <cstdarg>
#include <cstdio>

#include "messages.h"

namespace dmi::memory {

std::string text(const char* format, ...) {
  char buf[512];
  va_list args;
  va_start(args, format);
  std::vsnprintf(buf, sizeof buf, format, args);
  va_end(args);
  return buf;
}

size_t Frame::body_size() const {
  size_t n = 0;
  for (auto& s : body) n += s.size;
  return n;
}

bool is_long(OpKind kind) {
  switch (kind) {
    case OpKind::MutexLock: case OpKind::CondWait: case OpKind::Barrier: case OpKind::Allreduce:
    case OpKind::EventWait: case OpKind::MailWait: case OpKind::Watch:
      return true;
    default:
      return false;
  }
}

// Reads, writes and read-modify-writes but user's functions, which may take their time.
static bool is_plain(OpKind kind) { return kind >= OpKind::Read && kind <= OpKind::Fad; }

std::unique_ptr<Engine> Engine::create(EngineConfig config) { return std::make_unique<EngineImpl>(config); }

EngineImpl::EngineImpl(EngineConfig config) : config_(config), self_(config.self), self_state_(config.state), shards_(kShards) {
  stats_.pool = config.pool;
  store_.add_mapping(kRootMapping, kRootPageSize, 1, false);
}
EngineImpl::~EngineImpl() = default;

bool EngineImpl::submit(Op* op, Outbox& out) {
  op->error = 0;
  op->message.clear();
  op->parked = false;
  op->engine = nullptr;
  op->waiter = 0;
  if (serve_at_once(*op)) return true;
  if (arrive_at_once(*op)) return false;
  submitting_ = op;
  submitted_done_ = false;
  out.may_wait = hold_ = page_ops_ > 0 && is_plain(op->kind);
  {
    Entry entry(*this, out);
    if (view_.epoch() == 0) early_.push_back(op);
    else start(op);
  }
  hold_ = false;
  out.held = !open_.empty();
  submitting_ = nullptr;
  return submitted_done_;
}

void EngineImpl::release(Outbox& out) {
  if (!open_.empty()) Entry(*this, out);
}

bool EngineImpl::resume(Op* op, Outbox& out) {
  if (op->waiter == 0) return submit(op, out);  // it had kept no place
  op->error = 0;
  op->message.clear();
  op->parked = false;
  submitting_ = op;
  submitted_done_ = false;
  {
    Entry entry(*this, out);
    op->engine = nullptr;
    if (view_.epoch() == 0) early_.push_back(op);
    else start_resume(op);
  }
  submitting_ = nullptr;
  return submitted_done_;
}

void EngineImpl::start_resume(Op* op) {
  if (!is_long(op->kind) || ops_.find(op->waiter))
    return complete_now(op, EINVAL, text("waiter %llx cannot be resumed here: it is not parked", static_cast<unsigned long long>(op->waiter)));
  auto& ref = ops_.add(op->waiter);
  ref.op = op;
  op->engine = &ref;
  ref.resuming = true;
  send_park(ref, SyncKind::Resume);
}

void EngineImpl::park(Op* op, Outbox& out) {
  Entry entry(*this, out);
  if (auto at = std::find(early_.begin(), early_.end(), op); at != early_.end() && is_long(op->kind)) {
    early_.erase(at);
    op->parked = true;
    out.done.push_back(op);
    return;
  }
  auto* s = static_cast<OpState*>(op->engine);
  if (!s || !is_long(op->kind)) {  // it completes by itself; or it has arrived and not been sent, or waits for its mapping to be looked up
    if (withdraw(op)) return;
    for (auto& [id, l] : lookups_)
      if (auto at = std::find(l.ops.begin(), l.ops.end(), op); at != l.ops.end() && is_long(op->kind)) {
        l.ops.erase(at);
        op->parked = true;
        out.done.push_back(op);
        return;
      }
    return;
  }
  if (op->kind == OpKind::Watch) {
    stop_watch(*s);
    return complete_parked(*s, false);
  }
  if (s->parking) return;
  if (s->resuming) {
    s->park_wanted = true;
    return;
  }
  s->parking = true;
  send_park(*s, SyncKind::Park);
}

void EngineImpl::receive(MemberId from, Bytes head, Bytes body, Outbox& out) {
  Entry entry(*this, out);
  stats_.messages_received++;
  stats_.bytes_received += head.size() + body.size();
  if (!retry_parks_.empty()) retry_parks();
  const auto before = unflushed_.load(std::memory_order_relaxed);
  dispatch(from, head, body);
  // An arrival that waited for its mapping to be looked up is collected only now, when every worker may be asleep
  // already: nobody would flush it.
  if (unflushed_.load(std::memory_order_relaxed) > before)
    flush_travelling();
}

MemberStats EngineImpl::stats() const {
  auto s = stats_;
  s.pages_owned = store_.pages_owned;
  s.pages_cached = store_.pages_cached;
  s.bytes_owned = store_.bytes_owned;
  s.bytes_cached = store_.bytes_cached;
  s.shards_homed = 0;
  for (auto& shard : shards_) s.shards_homed += shard.here != nullptr;
  return s;
}
std::vector<MemberInfo> EngineImpl::members() const {
  std::vector<MemberInfo> all;
  for (auto& [id, m] : view_.members()) all.push_back(m);
  return all;
}

void EngineImpl::apply(const ViewChange& change, Outbox& out) {
  Entry entry(*this, out);
  std::vector<MemberId> old_home(kShards);
  for (uint32_t s = 0; s < kShards; s++) old_home[s] = view_.home(s);
  const bool first = view_.epoch() == 0;
  if (auto why = view_.apply(change); !why.empty()) {
    log(40, text("view %llu is ignored: %s", static_cast<unsigned long long>(change.epoch), why.c_str()));
    return;
  }
  if (auto me = view_.members().find(self_); me != view_.members().end()) {
    self_state_ = me->second.state;
    stats_.pool = config_.pool = me->second.pool > 0 ? me->second.pool : config_.pool;
  }
  for (uint32_t s = 0; s < kShards; s++) {
    const auto home = view_.home(s);
    auto& shard = shards_[s];
    if (home == self_) {
      // In the first view of a job every shard is empty. Later it comes from the member that had it.
      if (first && change.epoch == 1 && !shard.here) {
        shard.here = std::make_unique<ShardContent>();
        if (s == kAuthorityShard) shard.here->authority = std::make_unique<Authority>();
      }
    } else if (shard.here) {
      hand_off(s, home);
    } else if (old_home[s] == self_ || !shard.arriving.empty() || !shard.waiting.empty()) {
      // It never arrived here; what has come goes on to where it belongs now.
      if (!shard.arriving.empty()) {
        send(home, ShardState{s, false}, {shard.arriving});
        shard.arriving = {};
      }
      handle_again(shard.waiting);
    }
  }
  while (!barriers_.empty()) flush_barrier(barriers_.begin()->first);  // their home may be another one now
  swap_anew();  // somebody may have brought room
  forget_gone();
  auto ready = std::partition(future_.begin(), future_.end(), [&](auto& f) { return f.first > view_.epoch(); });
  std::deque<Stored> again;
  std::stable_sort(ready, future_.end(), [](auto& a, auto& b) { return a.first < b.first; });
  for (auto at = ready; at != future_.end(); ++at) again.push_back(std::move(at->second));
  future_.erase(ready, future_.end());
  handle_again(again);
  auto early = std::move(early_);
  early_.clear();
  for (auto* op : early) op->waiter ? start_resume(op) : (void)start(op);
  if (drain_asked_) begin_drain();
}

// ---- messages out ------------------------------------------------------------------------------------------------------
void EngineImpl::log(int level, std::string line) { out_->logs.push_back({level, std::move(line)}); }

void EngineImpl::push_frame(MemberId to, Frame frame) {
  if (to == self_) {
    Stored s{self_, std::move(frame.head), {}};
    s.body.reserve(frame.body_size());
    for (auto& b : frame.body) s.body.insert(s.body.end(), b.data, b.data + b.size);
    local_.push_back(std::move(s));
    return;
  }
  if (to == kNoMember || view_.is_known_gone(to)) return;  // no answer is to be expected, nor wanted, from there
  stats_.messages_sent++;
  stats_.bytes_sent += frame.head.size() + frame.body_size();
  out_->sends.push_back({to, std::move(frame)});
}

EngineImpl::Batch& EngineImpl::batch_for(MemberId to) {
  auto& b = batches_[to];
  if (!b.open) {
    b.to = to;
    b.open = true;
    open_.push_back(&b);
  }
  begun_ = true;
  return b;
}

// The batch to `to`, ready for one more item.
EngineImpl::Batch* EngineImpl::begin_pack(MemberId to, MsgKind kind, size_t data) {
  auto* b = &batch_for(to);
  if (b->kind == kind && b->pack.has_room(data)) return b;
  close(*b);
  b->kind = kind;
  b->since = view_.epoch();
  b->pack.begin(kind == MsgKind::Pack ? encoded_size(Pack{}) : encoded_size(PackAns{}));
  return b;
}

void EngineImpl::add_data(Batch& b, Data d) {
  if (d.bytes.empty()) return;
  b.bytes += d.bytes.size();
  if (d.bytes.size() >= 512 && (d.stable || d.keep)) {
    b.pieces.push_back({d.bytes, 0, 0, std::move(d.keep)});
    return;
  }
  if (b.pieces.empty() || b.pieces.back().small_size == 0) b.pieces.push_back({{}, b.small.size(), 0, nullptr});
  b.small.insert(b.small.end(), d.bytes.begin(), d.bytes.end());
  b.pieces.back().small_size += d.bytes.size();
}

constexpr uint32_t kHeld = 32;      // operations in a pack that waits for company
constexpr size_t kMaxParts = 1024;  // of one message: its receiver works on it while the next one is on the wire

bool EngineImpl::takes(const Batch* b, const PageReq& head) {
  const auto& r = b->req;
  return b->kind == MsgKind::PageReq && r.op == head.op && r.requester == head.requester && r.since == head.since && r.flags == head.flags &&
         r.kind == head.kind && r.mode == head.mode && r.page_size == head.page_size && r.page_count == head.page_count &&
         r.parts.size() < kMaxParts;
}
bool EngineImpl::takes(const Batch* b, uint64_t op) {
  return b->kind == MsgKind::PageAns && b->ans.op == op && b->ans.parts.size() < kMaxParts;
}

void EngineImpl::add_part(MemberId to, const PageReq& head, const PagePart& part, Data data) {
  auto* b = &batch_for(to);
  if (!takes(b, head)) {
    close(to);
    b = &batch_for(to);
    b->kind = MsgKind::PageReq;
    auto parts = std::move(b->req.parts);  // empty; kept for its memory
    b->req = PageReq{head.requester, head.since, head.op, head.kind, head.mode, head.flags, head.tag, head.in_size, head.out_size, head.page_size,
                     head.page_count, {}};
    b->req.parts = std::move(parts);
  }
  b->req.parts.push_back(part);
  add_data(*b, std::move(data));
}

void EngineImpl::add_answer(MemberId to, uint64_t op, const PageAnsPart& part, Data data) {
  auto* b = &batch_for(to);
  if (!takes(b, op)) {
    close(to);
    b = &batch_for(to);
    b->kind = MsgKind::PageAns;
    b->ans.op = op;
    b->ans.owner = self_;
  }
  b->ans.parts.push_back(part);
  add_data(*b, std::move(data));
}

void EngineImpl::close(MemberId to) {
  if (open_.empty()) return;
  auto at = batches_.find(to);
  if (at != batches_.end() && at->second.open) close(at->second);
}

void EngineImpl::close(Batch& b) {
  if (b.kind == MsgKind::Pack || b.kind == MsgKind::PackAns) {
    Placing head{b.pack.head()};
    if (b.kind == MsgKind::Pack) encode_to(head, Pack{b.since, b.pack.count()}, view_.epoch(), kInline);
    else encode_to(head, PackAns{b.pack.count()}, view_.epoch(), kInline);
    b.kind = MsgKind{};
    Frame frame;
    frame.head = b.pack.copy();
    return push_frame(b.to, std::move(frame));
  }
  const uint8_t flags = b.bytes <= kInlineLimit ? kInline : 0;
  Frame frame;
  if (b.kind == MsgKind::PageReq) frame.head = encode(b.req, view_.epoch(), flags, flags ? b.bytes : 0);
  if (b.kind == MsgKind::PageAns) frame.head = encode(b.ans, view_.epoch(), flags, flags ? b.bytes : 0);
  if (!frame.head.empty()) {
    if (flags) {
      Writer w(frame.head);
      for (auto& p : b.pieces)
        if (p.small_size) w.raw(b.small.data() + p.small_at, p.small_size);
        else w.raw(p.stable.data(), p.stable.size());
    } else {
      auto small = std::make_shared<std::vector<std::byte>>(std::move(b.small));
      for (auto& p : b.pieces)
        if (p.small_size) frame.body.push_back({small->data() + p.small_at, p.small_size, small});
        else frame.body.push_back({p.stable.data(), p.stable.size(), std::move(p.keep)});
    }
  }
  const bool any = !frame.head.empty();
  b.kind = MsgKind{};
  b.req.parts.clear();
  b.ans.parts.clear();
  b.small.clear();
  b.pieces.clear();
  b.bytes = 0;
  if (any) push_frame(b.to, std::move(frame));
}

void EngineImpl::pump() {
  for (;;) {
    begun_ = false;
    std::erase_if(open_, [&](Batch* b) {
      if (hold_ && b->kind == MsgKind::Pack && b->pack.count() < kHeld) return false;
      close(*b);
      b->open = false;
      return true;
    });
    if (!local_.empty()) {
      auto s = std::move(local_.front());
      local_.pop_front();
      dispatch(self_, s.head, s.body);
      continue;
    }
    if (!rewatch_.empty()) {
      auto ids = std::move(rewatch_);
      rewatch_.clear();
      for (auto id : ids)
        if (auto* s = state(id); s && s->op) start_watch(*s);
      continue;
    }
    if (draining_ && !drained_) {
      push_pages();
      check_drained();
      if (begun_ || !local_.empty()) continue;
    }
    keep_within_pool();
    if (begun_ || !local_.empty() || !rewatch_.empty()) continue;
    return;
  }
}

// ---- messages in -------------------------------------------------------------------------------------------------------
Stored EngineImpl::store(MemberId from, Bytes head, Bytes body) {
  return {from, {head.begin(), head.end()}, {body.begin(), body.end()}};
}

void EngineImpl::handle_again(std::deque<Stored>& stored) {
  auto all = std::move(stored);
  stored.clear();
  for (auto& s : all) dispatch(s.from, s.head, s.body);
}

void EngineImpl::broke_protocol(MemberId from, const char* what) {
  log(50, text("member %d sent %s; its connection is closed", from, what));
  if (from != self_ && std::find(out_->hang_up.begin(), out_->hang_up.end(), from) == out_->hang_up.end()) out_->hang_up.push_back(from);
}

bool EngineImpl::at_home(uint32_t shard, uint64_t epoch, MemberId from, Bytes head, Bytes body) {
  const auto home = view_.home(shard);
  if (home == self_) {
    if (shards_[shard].here) return true;
    shards_[shard].waiting.push_back(store(from, head, body));
    return false;
  }
  auto s = store(from, head, body);
  if (epoch > view_.epoch() || home == kNoMember) {
    future_.emplace_back(std::max(epoch, view_.epoch() + 1), std::move(s));
    return false;
  }
  const uint64_t mine = view_.epoch();
  std::memcpy(s.head.data() + kEpochAt, &mine, sizeof mine);
  Frame f;
  f.head = std::move(s.head);
  if (!s.body.empty()) {
    auto keep = std::make_shared<std::vector<std::byte>>(std::move(s.body));
    f.body.push_back({keep->data(), keep->size(), keep});
  }
  close(home);
  push_frame(home, std::move(f));
  return false;
}

template <class M> void EngineImpl::handle(MemberId from, Bytes head, Bytes body) {
  M m;
  Bytes data;
  HeadFixed h;
  read_fixed(head, h);
  if (!decode(head, body, m, data)) return broke_protocol(from, "a malformed message");
  if constexpr (requires { m.key; })
    if (!possible(m.key)) return broke_protocol(from, "a page of an impossible mapping");
  if constexpr (std::is_same_v<M, Acquire> || std::is_same_v<M, Owned>) {
    if (!at_home(shard_of_page(m.key), h.epoch, from, head, body)) return;
  } else if constexpr (std::is_same_v<M, MapReq> || std::is_same_v<M, UnmapAck>) {
    if (!at_home(kAuthorityShard, h.epoch, from, head, body)) return;
  } else if constexpr (std::is_same_v<M, SyncReq>) {
    if (!at_home(shard_of_name(m.name), h.epoch, from, head, body)) return;
  }
  try {
    on(from, h.epoch, m, data);
  } catch (const std::bad_alloc&) {  // a page it described to us is larger than our memory
    if (from == self_) throw;
    broke_protocol(from, "a message that asks for more memory than there is here");
  }
}

void EngineImpl::dispatch(MemberId from, Bytes head, Bytes body) {
  HeadFixed h;
  if (!read_fixed(head, h)) return broke_protocol(from, "a head that is not ours");
  switch (h.kind) {
    case MsgKind::PageReq: return handle<PageReq>(from, head, body);
    case MsgKind::PageAns: return handle<PageAns>(from, head, body);
    case MsgKind::Acquire: return handle<Acquire>(from, head, body);
    case MsgKind::Transfer: return handle<Transfer>(from, head, body);
    case MsgKind::PageMove: return handle<PageMove>(from, head, body);
    case MsgKind::Owned: return handle<Owned>(from, head, body);
    case MsgKind::Granted: return handle<Granted>(from, head, body);
    case MsgKind::Invalidate: return handle<Invalidate>(from, head, body);
    case MsgKind::Stage: return handle<Stage>(from, head, body);
    case MsgKind::Ack: return handle<Ack>(from, head, body);
    case MsgKind::Commit: return handle<Commit>(from, head, body);
    case MsgKind::MapReq: return handle<MapReq>(from, head, body);
    case MsgKind::MapAns: return handle<MapAns>(from, head, body);
    case MsgKind::Unmap: return handle<Unmap>(from, head, body);
    case MsgKind::UnmapAck: return handle<UnmapAck>(from, head, body);
    case MsgKind::SyncReq: return handle<SyncReq>(from, head, body);
    case MsgKind::SyncAns: return handle<SyncAns>(from, head, body);
    case MsgKind::ShardState: return handle<ShardState>(from, head, body);
    case MsgKind::DrainNotice: return handle<DrainNotice>(from, head, body);
    case MsgKind::DrainReady: return handle<DrainReady>(from, head, body);
    case MsgKind::Offer: return handle<Offer>(from, head, body);
    case MsgKind::OfferAns: return handle<OfferAns>(from, head, body);
    case MsgKind::Pack: return handle<Pack>(from, head, body);
    case MsgKind::PackAns: return handle<PackAns>(from, head, body);
  }
  broke_protocol(from, "a message of unknown kind");
}

}  // namespace dmi::memory
