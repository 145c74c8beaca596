// The requester's side of reads, writes and read-modify-writes: split by page, send each part to where its page is
// believed to be, put the answers together.
#include "messages.h"

namespace dmi::memory {

constexpr size_t kMaxOpParts = 16u << 20;
constexpr size_t kSlice = 2048;  // pieces of an operation that are looked at in one go

// ---- completion --------------------------------------------------------------------------------------------------------
OpState& EngineImpl::new_state(Op* op) {
  auto& s = ops_.add((static_cast<uint64_t>(static_cast<uint32_t>(self_)) << 40) | next_op_++);
  s.op = op;
  op->engine = &s;
  return s;
}
OpState* EngineImpl::state(uint64_t id) { return ops_.find(id); }

void EngineImpl::complete_now(Op* op, int error, std::string message) {
  op->error = error;
  op->message = std::move(message);
  op->engine = nullptr;
  if (op == submitting_) submitted_done_ = true;
  else out_->done.push_back(op);
}
void EngineImpl::complete(OpState& s) {
  auto* op = s.op;
  const int error = s.error;
  auto message = std::move(s.message);
  if (s.counted) page_ops_--;
  ops_.erase(s.id);
  if (op) complete_now(op, error, std::move(message));
}
void EngineImpl::fail_op(OpState& s, int error, std::string message) {
  if (s.error) return;
  s.error = error;
  s.message = std::move(message);
}

// ---- checking ----------------------------------------------------------------------------------------------------------
bool EngineImpl::start(Op* op) {
  const auto refuse = [&](int error, std::string message) {
    complete_now(op, error, std::move(message));
    return false;
  };
  const auto need = [&](GlobalAddr addr, int64_t size, Mapping*& m) {  // 0 fine, 1 being looked up, 2 refused
    m = store_.mapping(mapping_of(static_cast<uint64_t>(addr)));
    if (addr <= 0 || (m && m->dead.load(std::memory_order_relaxed))) {
      refuse(EFAULT, text("address 0x%llx is not mapped", static_cast<unsigned long long>(addr)));
      return 2;
    }
    if (size < 0) {
      refuse(EINVAL, text("size %lld is negative", static_cast<long long>(size)));
      return 2;
    }
    if (!m) {
      const auto id = mapping_of(static_cast<uint64_t>(addr));
      if (id == 0 || id > kMaxMapping) {
        refuse(EFAULT, text("address 0x%llx is not mapped", static_cast<unsigned long long>(addr)));
        return 2;
      }
      look_up(id);
      lookups_[id].ops.push_back(op);
      return 1;
    }
    const auto off = static_cast<uint64_t>(addr) & kOffsetMask;
    const auto bytes = static_cast<uint64_t>(m->bytes());
    if (off > bytes || static_cast<uint64_t>(size) > bytes - off || (off == bytes && size == 0 && op->mode != Mode::Get)) {
      refuse(EFAULT, text("0x%llx + %lld is past the end of its mapping of %lld bytes", static_cast<unsigned long long>(addr),
                          static_cast<long long>(size), static_cast<long long>(m->bytes())));
      return 2;
    }
    return 0;
  };
  const auto bad_mode = [&] { return refuse(EINVAL, text("mode %d does not fit this operation", static_cast<int>(op->mode))); };
  switch (op->kind) {
    case OpKind::Mmap: start_mmap(op); return true;
    case OpKind::Munmap: start_munmap(op); return true;
    case OpKind::Read:
    case OpKind::Write: {
      if (op->kind == OpKind::Read && op->mode != Mode::Get && op->mode != Mode::Invalidate && op->mode != Mode::Update) return bad_mode();
      if (op->kind == OpKind::Write && op->mode != Mode::Put && op->mode != Mode::Exclusive) return bad_mode();
      for (auto& p : op->pieces) {
        if (p.size == 0 && op->mode != Mode::Exclusive) continue;
        Mapping* m;
        if (auto bad = need(p.addr, p.size, m)) return bad == 1;
      }
      begin_page_op(op);
      return true;
    }
    case OpKind::Cas: case OpKind::Fas: case OpKind::Fad: case OpKind::Function: {
      if (op->mode != Mode::Put && op->mode != Mode::Exclusive) return bad_mode();
      const int64_t size = op->kind == OpKind::Fad ? 8 : op->size;
      Mapping* m;
      if (auto bad = need(op->addr, size, m)) return bad == 1;
      if (size == 0) {
        op->value = op->kind == OpKind::Cas;
        return refuse(0, {});
      }
      const auto off = static_cast<uint64_t>(op->addr) & kOffsetMask;
      if (m->index_of(off) != m->index_of(off + static_cast<uint64_t>(size) - 1))
        return refuse(EINVAL, text("0x%llx + %lld crosses a page border (pages of %lld bytes): read-modify-writes stay within one page",
                                   static_cast<unsigned long long>(op->addr), static_cast<long long>(size), static_cast<long long>(m->page_size)));
      if (op->in_size < 0 || op->out_size < 0 || op->in_size > kFunctionData || op->out_size > kFunctionData)
        return refuse(EINVAL, "the sizes of a function's argument and result must be 0 to 64 MiB");
      begin_page_op(op);
      return true;
    }
    case OpKind::Watch: {
      Mapping* m;
      if (auto bad = need(op->addr, op->size, m)) return bad == 1;
      if (op->size == 0) return refuse(0, {});
      start_watch(new_state(op));
      return true;
    }
    case OpKind::Save: case OpKind::Unsave: {
      Mapping* m;
      if (auto bad = need(op->addr, op->size, m)) return bad == 1;
      if (op->size > 0) pin(*op);
      return refuse(0, {});
    }
    case OpKind::MutexLock: case OpKind::MutexTryLock: case OpKind::MutexUnlock: case OpKind::CondWait:
    case OpKind::CondSignal: case OpKind::CondBroadcast: case OpKind::Barrier: case OpKind::Allreduce: case OpKind::ObjectDestroy: {
      Mapping* m;
      if (auto bad = need(op->addr, 1, m)) return bad == 1;
      if (op->kind == OpKind::CondWait)
        if (auto bad = need(op->addr2, 1, m)) return bad == 1;
      if (op->kind == OpKind::Barrier || op->kind == OpKind::Allreduce) start_barrier(op);
      else start_sync(op);
      return true;
    }
    case OpKind::EventWait: case OpKind::EventDrop: case OpKind::EventSet: case OpKind::MailWait: case OpKind::MailPost:
      start_sync(op);
      return true;
  }
  return refuse(EINVAL, text("operation %d is unknown", static_cast<int>(op->kind)));
}

// ---- splitting ---------------------------------------------------------------------------------------------------------
bool EngineImpl::split(OpState& s, GlobalAddr addr, int64_t size, std::byte* to, const std::byte* from) {
  auto& m = *store_.mapping(mapping_of(static_cast<uint64_t>(addr)));
  uint64_t off = static_cast<uint64_t>(addr) & kOffsetMask;
  uint64_t left = static_cast<uint64_t>(size);
  const auto page = static_cast<uint64_t>(m.page_size);
  do {
    const uint64_t index = m.index_of(off);
    const uint64_t within = off - index * page;
    const uint64_t len = std::min(left, page - within);
    if (s.parts.size() >= kMaxOpParts) return false;
    auto& p = s.parts.emplace_back();
    p.key = key_of(m.id, index);
    p.off = within;
    p.len = len;
    if (to) p.to = to, to += len;
    if (from) p.data = {from, len}, from += len;
    off += len;
    left -= len;
  } while (left > 0);
  return true;
}

void EngineImpl::begin_page_op(Op* op) {
  auto& s = new_state(op);
  if (op->kind != OpKind::Function) {
    s.counted = true;
    page_ops_++;
  }
  bool fits = true;
  s.small = true;
  for (auto& p : op->pieces) s.small = s.small && p.size <= static_cast<int64_t>(kPackLimit);
  if (op->pieces.size() > 1) s.parts.reserve(op->pieces.size());
  s.remaining = 1;  // the last part to finish completes the operation and frees `s`: one is held back
  switch (op->kind) {
    case OpKind::Read: case OpKind::Write:
      // Of many small pieces the first are on their way before the rest is looked at. No such operation has too many parts.
      if (s.small && op->pieces.size() > kSlice && op->pieces.size() <= kMaxOpParts / kPackLimit) return proceed(s);
      for (auto& p : op->pieces) fits = fits && split(s, p);
      break;
    case OpKind::Cas:
      s.scratch.assign(op->in, op->in + op->size);
      s.scratch.insert(s.scratch.end(), op->in2, op->in2 + op->size);
      split(s, op->addr, op->size, nullptr, nullptr);
      s.parts[0].data = s.scratch;
      break;
    case OpKind::Fas:
      split(s, op->addr, op->size, nullptr, op->in);
      break;
    case OpKind::Fad:
      s.scratch.resize(8);
      std::memcpy(s.scratch.data(), &op->value, 8);
      split(s, op->addr, 8, nullptr, nullptr);
      s.parts[0].data = s.scratch;
      break;
    default:  // Function
      split(s, op->addr, op->size, nullptr, nullptr);
      s.parts[0].data = {op->in, static_cast<size_t>(op->in ? op->in_size : 0)};
  }
  if (!fits) {
    fail_op(s, E2BIG, text("the call touches more than %zu pages; split it", kMaxOpParts));
    return complete(s);
  }
  start_parts(s, 0);
  if (--s.remaining == 0) complete(s);
}

void EngineImpl::proceed(OpState& s) {
  const auto pieces = s.op->pieces;
  const auto begin = static_cast<uint32_t>(s.parts.size());
  const size_t end = std::min(s.pieces_begun + kSlice, pieces.size());
  while (s.pieces_begun < end) split(s, pieces[s.pieces_begun++]);
  start_parts(s, begin);
  if (s.pieces_begun < pieces.size()) {
    begun_ops_.push_back(s.id);
    out_->more = true;
  } else if (--s.remaining == 0) {
    complete(s);
  }
}

void EngineImpl::proceed(Outbox& out) {
  Entry entry(*this, out);
  if (begun_ops_.empty()) return;
  auto* s = state(begun_ops_.front());
  begun_ops_.pop_front();
  if (s) proceed(*s);
  out.more = !begun_ops_.empty();
}

bool EngineImpl::split(OpState& s, const Piece& p) {
  if (s.op->kind == OpKind::Read) return p.size == 0 || split(s, p.addr, p.size, p.ptr, nullptr);
  const bool wanted = p.size > 0 || (s.op->mode == Mode::Exclusive && may_own());
  return !wanted || split(s, p.addr, p.size, nullptr, p.ptr);
}

// From `begin` on. Parts whose pages are elsewhere, as far as we know, are the common case: they go straight into the message to
// the owner.
void EngineImpl::start_parts(OpState& s, uint32_t begin) {
  const auto n = static_cast<uint32_t>(s.parts.size());
  s.remaining += n - begin;
  const bool plain = (s.op->kind == OpKind::Read && s.op->mode == Mode::Get) || (s.op->kind != OpKind::Read && s.op->mode == Mode::Put && s.counted);
  const auto head = request(s, false);
  PageKey key = 0;              // of the part before
  MemberId to = kNoMember;      // where it went; kNoMember: it took the long way
  Batch* batch = nullptr;
  for (uint32_t i = begin; i < n; i++) {
    auto& part = s.parts[i];
    if (part.key != key) {
      auto& m = *store_.mapping(mapping_of(part.key));
      const bool away = plain && !m.dead.load(std::memory_order_relaxed) && !m.find(index_of(part.key));
      const auto owner = away ? route(m, part.key) : kNoMember;
      if (owner != to) batch = nullptr;
      key = part.key;
      to = owner;
    }
    if (to == kNoMember) {
      key = 0;
      start_part(s, i);
      continue;
    }
    if (s.small && part.off <= UINT32_MAX && part.len <= kPackLimit) {
      const PackItem item{s.id, part.key, i, static_cast<uint32_t>(part.off), static_cast<uint16_t>(part.len), head.kind};
      if (const auto size = part.data.size(); size == item.data_size() && size <= kPackLimit) {
        batch = pack_for(batch, to, MsgKind::Pack, size);
        copy_item(batch->pack.add(item), part.data.data(), size);
        continue;
      }
    }
    const PagePart p{i, part.key, part.off, part.len};
    if (batch && takes(batch, head)) {
      batch->req.parts.push_back(p);
      add_data(*batch, {part.data, nullptr, true});
    } else {
      add_part(to, head, p, {part.data, nullptr, true});
      batch = &batch_for(to);
    }
  }
}

PageTask EngineImpl::local_task(OpState& s, uint32_t index) {
  auto& part = s.parts[index];
  PageTask t;
  t.requester = self_;
  t.since = view_.epoch();
  t.op = s.id;
  t.index = index;
  t.kind = s.watching ? OpKind::Read : s.op->kind;
  t.mode = s.watching ? Mode::Get : s.op->mode;
  if (t.kind == OpKind::Function) {
    t.tag = s.op->tag;
    t.in_size = static_cast<uint32_t>(s.op->in_size);
    t.out_size = static_cast<uint32_t>(s.op->out_size);
  }
  t.off = part.off;
  t.len = part.len;
  t.data = part.data;
  t.local = &s;
  return t;
}

void EngineImpl::start_part(OpState& s, uint32_t index) {
  auto& part = s.parts[index];
  auto& m = *store_.mapping(mapping_of(part.key));
  if (m.dead.load(std::memory_order_relaxed)) return finish_part(s, index, EFAULT, {});
  auto* p = m.find(index_of(part.key));
  if (p) p->used.store(true, std::memory_order_relaxed);
  if (p && p->role == Role::Owned) return accept(*p, local_task(s, index));
  const bool read = s.watching || s.op->kind == OpKind::Read;
  if (read) {
    if (p && p->role == Role::Copy) {
      if (!p->work || p->work->staged.empty()) return finish_part(s, index, 0, {p->data + part.off, part.len});
      p->work->readers.push_back({&s, index});
      return;
    }
    const bool cache = (s.watching || s.op->mode != Mode::Get) && !drain_asked_;
    if (cache) {
      auto& w = work(store_.get(m, index_of(part.key)));
      if (w.fetches > 0) {  // the copy is on its way already
        w.readers.push_back({&s, index});
        return;
      }
      w.fetches++;
    }
    part.fetch = cache;
  } else if (s.op->mode == Mode::Exclusive && may_own() && !part.put_only) {
    auto& page = store_.get(m, index_of(part.key));
    work(page).queue.push_back(local_task(s, index));
    if (!page.work->acquiring) acquire(page);
    return;
  } else if (part.len == 0) {
    return finish_part(s, index, 0, {});  // only wanted ownership, which is not for us
  }
  send_part(s, index);
}

MemberId EngineImpl::route(Mapping& m, PageKey key) const {
  const auto hint = store_.hint(m, index_of(key));
  return hint != self_ && view_.is_active(hint) ? hint : kNoMember;
}

PageReq EngineImpl::request(const OpState& s, bool fetch) const {
  PageReq r;
  r.requester = self_;
  r.since = view_.epoch();
  r.op = s.id;
  r.kind = s.watching ? OpKind::Read : s.op->kind;
  r.mode = s.watching ? Mode::Invalidate : s.op->mode;
  if (r.kind == OpKind::Read && !fetch) r.mode = Mode::Get;
  if (r.mode == Mode::Exclusive) r.mode = Mode::Put;
  return r;
}

void EngineImpl::send_part(OpState& s, uint32_t index) {
  auto& part = s.parts[index];
  auto& m = *store_.mapping(mapping_of(part.key));
  auto r = request(s, part.fetch);
  if (r.kind == OpKind::Function) {
    r.tag = s.op->tag;
    r.in_size = static_cast<uint32_t>(part.data.size());
    r.out_size = static_cast<uint32_t>(s.op->out_size);
  }
  const PagePart p{index, part.key, part.off, part.len};
  if (const auto to = route(m, part.key); to != kNoMember) return add_part(to, r, p, {part.data, nullptr, true});
  const auto home = view_.home(shard_of_page(part.key));
  if (home != self_ && home != kNoMember) return add_part(home, r, p, {part.data, nullptr, true});
  home_part(r, p, part.data, view_.epoch(), self_);
}

// ---- answers -----------------------------------------------------------------------------------------------------------
size_t EngineImpl::answer_bytes(const OpState& s, const OpPart& p) const {
  switch (s.watching ? OpKind::Read : s.op->kind) {
    case OpKind::Read: return p.fetch ? static_cast<size_t>(store_.mapping(mapping_of(p.key))->page_size) : p.len;
    case OpKind::Fas: return p.len;
    case OpKind::Fad: return 8;
    case OpKind::Cas: return 1;
    case OpKind::Function: return static_cast<size_t>(s.op->out_size);
    default: return 0;
  }
}

void EngineImpl::finish_part(OpState& s, uint32_t index, int error, Bytes data, bool placed) {
  auto& part = s.parts[index];
  if (part.done) return;
  part.done = true;
  if (error) {
    const auto key = part.key;
    if (error == EFAULT)
      fail_op(s, EFAULT, text("page %llu of mapping %u is not mapped any more", static_cast<unsigned long long>(index_of(key)), mapping_of(key)));
    else if (error == ENOSYS)
      fail_op(s, ENOSYS, "the program has no DMI_function to run, or its owner cannot run one");
    else
      fail_op(s, error, text("the owner of page %llu of mapping %u refused: error %d", static_cast<unsigned long long>(index_of(key)), mapping_of(key), error));
  } else if (!data.empty() && s.op) {
    switch (s.watching ? OpKind::Read : s.op->kind) {
      case OpKind::Read:
        if (!placed) std::memcpy(part.to, data.data(), part.len);
        break;
      case OpKind::Fas: case OpKind::Function:
        if (!placed && s.op->out) std::memcpy(s.op->out, data.data(), data.size());
        break;
      case OpKind::Fad: std::memcpy(&s.op->value, data.data(), 8); break;
      case OpKind::Cas: s.op->value = data[0] != std::byte{0}; break;
      default: break;
    }
  }
  if (--s.remaining > 0) return;
  if (s.watching && s.op && !s.error) check_watch(s);
  else complete(s);
}

void EngineImpl::on(MemberId from, uint64_t, PageAns& m, Bytes data) {
  auto* s = state(m.op);
  PageKey hinted = 0;
  const auto hint = [&](PageKey key) {
    if (m.owner == self_ || key == hinted) return;
    store_.set_hint(*store_.mapping(mapping_of(key)), index_of(key), m.owner);
    hinted = key;
  };
  for (auto& a : m.parts) {
    // All but the last part of a plain read or write, which would complete the operation.
    if (s && s->op && s->remaining > 1 && !s->watching && a.error == 0 && a.index < s->parts.size()) {
      auto& part = s->parts[a.index];
      const bool read = s->op->kind == OpKind::Read;
      const size_t size = read ? part.len : 0;
      if ((read || s->op->kind == OpKind::Write) && !part.done && !part.fetch && part.sinking == kNoMember && a.bytes == size && size <= data.size()) {
        hint(part.key);
        if (size > 0) std::memcpy(part.to, data.data(), size);
        data = data.subspan(size);
        part.done = true;
        s->remaining--;
        continue;
      }
    }
    s = state(m.op);
    if (!s) return;  // an operation that was given up
    if (a.index >= s->parts.size() || s->parts[a.index].done) return broke_protocol(from, "an answer nobody waits for");
    auto& part = s->parts[a.index];
    if (a.bytes > data.size() || (a.error == 0 && s->op && a.bytes != answer_bytes(*s, part)))
      return broke_protocol(from, "an answer of the wrong length");
    if (part.sinking != kNoMember && part.sinking != from) return broke_protocol(from, "a second answer");
    part.sinking = kNoMember;
    const auto mine = data.first(a.bytes);
    data = data.subspan(a.bytes);
    auto& map = *store_.mapping(mapping_of(part.key));
    hint(part.key);
    if (!part.fetch) {
      finish_part(*s, a.index, a.error, mine, !mine.empty() && (mine.data() == part.to || (s->op && mine.data() == s->op->out)));
      s = state(m.op);
      continue;
    }
    // A page to be cached. The operation itself takes its bytes whether or not the copy is still valid.
    auto* frame = std::exchange(part.incoming, nullptr);
    part.fetch = false;
    auto* p = map.dead.load(std::memory_order_relaxed) ? nullptr : map.find(index_of(part.key));
    const bool usable = p && p->work && p->work->fetches > 0;
    if (usable) p->work->fetches--;
    if (a.error) {
      if (frame) frame->unref();
      const auto index = a.index;
      if (usable) { serve_readers(*p); if (auto* q = map.find(index_of(part.key))) tidy(*q); }
      if ((s = state(m.op))) finish_part(*s, index, a.error, {});
      s = state(m.op);
      continue;
    }
    if (!frame || mine.data() != frame->bytes()) {
      if (frame) frame->unref();
      frame = PageFrame::make_raw(map.page_size);
      std::memcpy(frame->bytes(), mine.data(), mine.size());
    }
    stats_.pages_fetched++;
    frame->ref();
    const auto key = part.key;
    const auto index = a.index;
    const Bytes bytes(frame->bytes() + part.off, part.len);
    finish_part(*s, index, 0, bytes);
    if (usable) {
      if (!drain_asked_) install_copy(*p, a.ver, frame);
      else frame->unref();
      if (auto* q = map.find(index_of(key)); q && q->work) { serve_readers(*q); }
      if (auto* q = map.find(index_of(key))) { refresh(*q); tidy(*q); }
    } else {
      frame->unref();
    }
    frame->unref();
    s = state(m.op);
  }
  if (!data.empty()) broke_protocol(from, "an answer with more data than it names");
}

void EngineImpl::on(MemberId from, uint64_t, PackAns& m, Bytes items) {
  if (!sound<PackedAnswer>(items, m.count)) return broke_protocol(from, "a malformed pack of answers");
  Unpacking in(items);
  PackedAnswer a;
  Bytes data;
  OpState* s = nullptr;  // of operation `op`; null: not looked up, or it has completed
  uint64_t op = 0;
  PageKey hinted = 0;
  while (in.next(a, data)) {
    if (!s || a.op != op) s = state(op = a.op);
    if (!s) continue;  // an operation that was given up
    if (a.index >= s->parts.size() || s->parts[a.index].done) return broke_protocol(from, "an answer nobody waits for");
    auto& part = s->parts[a.index];
    if (part.fetch || part.sinking != kNoMember) return broke_protocol(from, "an answer of another kind than was asked for");
    const bool plain = s->op && !s->watching;
    const bool read = plain && s->op->kind == OpKind::Read;
    if (a.error == 0 && s->op && data.size() != (read ? part.len : answer_bytes(*s, part))) return broke_protocol(from, "an answer of the wrong length");
    if (part.key != hinted && from != self_) {
      hinted = part.key;
      store_.set_hint(*store_.mapping(mapping_of(part.key)), index_of(part.key), from);
    }
    if (plain && a.error == 0 && s->remaining > 1) {  // not the last part, which completes the operation
      if (read || s->op->kind == OpKind::Write) {
        if (read) copy_item(part.to, data.data(), data.size());
        part.done = true;
        s->remaining--;
        continue;
      }
    }
    finish_part(*s, a.index, a.error, data);
    s = nullptr;
  }
}

std::byte* EngineImpl::sink(MemberId from, Bytes head, size_t body_size) {
  HeadFixed h;
  if (!read_fixed(head, h) || (h.flags & kInline)) return nullptr;
  if (h.kind == MsgKind::PageReq) return sink_page(from, head, body_size);
  if (h.kind != MsgKind::PageAns) return nullptr;
  PageAns m;
  Bytes none;
  if (!decode(head, {}, m, none) || m.parts.size() != 1 || m.parts[0].error || m.parts[0].bytes != body_size) return nullptr;
  auto* s = state(m.op);
  if (!s || !s->op || m.parts[0].index >= s->parts.size()) return nullptr;
  auto& part = s->parts[m.parts[0].index];
  if (part.done || part.sinking != kNoMember || answer_bytes(*s, part) != body_size) return nullptr;
  std::byte* place = nullptr;
  if (part.fetch) {
    if (!part.incoming) part.incoming = PageFrame::make_raw(static_cast<int64_t>(body_size));
    place = part.incoming->bytes();
  } else if (s->watching) {
    place = nullptr;
  } else if (s->op->kind == OpKind::Read) {
    place = part.to;
  } else if (s->op->kind == OpKind::Fas || s->op->kind == OpKind::Function) {
    place = s->op->out;
  }
  if (place) part.sinking = from;
  return place;
}

}  // namespace dmi::memory
