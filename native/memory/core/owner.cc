// What an owner does with its pages. Operations on one page happen one after the other: a write that has to wait for
// sharers makes the page busy and everything later queues behind it. Pages do not wait for each other.
#include "messages.h"

namespace dmi::memory {

PageWork& EngineImpl::work(Page& p) {
  if (!p.work) p.work = std::make_unique<PageWork>();
  return *p.work;
}

void EngineImpl::refresh(Page& p) {
  const auto* w = p.work.get();
  uint8_t access = 0;
  if (p.role == Role::Owned && !(w && w->busy)) {
    access = Page::kRead;
    if (!w || (w->sharers.empty() && w->watchers.empty())) access |= Page::kWrite;
  } else if (p.role == Role::Copy && !(w && !w->staged.empty())) {
    access = Page::kRead;
  }
  store_.set_access(p, access);
}

void EngineImpl::tidy(Page& p) {
  if (p.work && p.work->idle()) p.work.reset();
  if (p.role == Role::None && !p.work) store_.release(p);
}

uint32_t EngineImpl::data_bytes(const PageReq& r, uint64_t len) {
  switch (r.kind) {
    case OpKind::Write: case OpKind::Fas: return static_cast<uint32_t>(len);
    case OpKind::Cas: return static_cast<uint32_t>(2 * len);
    case OpKind::Fad: return 8;
    case OpKind::Function: return r.in_size;
    default: return 0;
  }
}

void EngineImpl::answer(PageTask& t, int error, uint64_t ver, Data data) {
  if (t.local) return finish_part(*t.local, t.index, error, data.bytes);
  if (t.packed && error >= 0 && error <= UINT8_MAX && data.bytes.size() <= UINT16_MAX) {
    const auto size = data.bytes.size();
    auto& pack = pack_for(nullptr, t.requester, MsgKind::PackAns, size)->pack;
    return copy_item(pack.add(PackedAnswer{t.op, t.index, static_cast<uint8_t>(error), static_cast<uint16_t>(size)}), data.bytes.data(), size);
  }
  const PageAnsPart part{t.index, error, ver, data.bytes.size()};
  add_answer(t.requester, t.op, part, std::move(data));
}

// ---- requests ----------------------------------------------------------------------------------------------------------
// What the parts of one request have in common, while they are served.
struct EngineImpl::Requested {
  Requested(const PageReq& m, MemberId from, uint64_t epoch, bool packed) : m(m), from(from), epoch(epoch), packed(packed) {}
  const PageReq& m;         // but for its parts
  MemberId from;
  uint64_t epoch;
  bool packed;              // a pack: so are the answers
  bool at_rest = false;     // may be served by serve_at_rest at all
  PageKey key = 0;          // of the part before, and
  Page* page = nullptr;     // its page, if that is owned here
  Batch* batch = nullptr;   // of the answer before
  Page* locked = nullptr;   // small parts of one page take its lock together, but not for long
  uint32_t served = 0;      // since it was locked

  void lock(Page* p) {
    if (p == locked && ++served < kTogether) return;
    unlock();
    p->lock.lock();
    locked = p;
    served = 0;
  }
  void unlock() {
    if (locked) std::exchange(locked, nullptr)->lock.unlock();
  }
  ~Requested() { unlock(); }
  static constexpr uint32_t kTogether = 32;
};

// Most requests are plain ones of another member for a page that is here and that nobody else is busy with: no task is made
// of them, and small data is copied once, into the answer. False: the long way; nothing has happened.
bool EngineImpl::serve_at_rest(Requested& r, const PagePart& part, Bytes data) {
  if (!r.at_rest) return false;
  if (part.key != r.key || !r.page) {
    r.key = part.key;
    auto* map = possible(part.key) ? store_.mapping(mapping_of(part.key)) : nullptr;
    r.page = map && !map->dead.load(std::memory_order_relaxed) ? map->find(index_of(part.key)) : nullptr;
    if (r.page && r.page->role != Role::Owned) r.page = nullptr;
  }
  auto* p = r.page;
  const auto size = p ? static_cast<uint64_t>(p->size) : 0;
  if (!p || part.off > size || part.len > size - part.off) return false;
  if (p->work && (p->work->busy || !p->work->queue.empty() || r.m.kind != OpKind::Read)) return false;  // sharers are to be told
  if (part.len >= 4096) return false;  // perhaps not to be copied, or a page to be replaced
  if (r.m.kind == OpKind::Fad ? part.len != 8 : r.m.kind == OpKind::Write && part.len == 0) return false;
  const size_t result = r.m.kind == OpKind::Read ? part.len : r.m.kind == OpKind::Fad ? 8 : 0;
  std::byte* packed = nullptr;
  if (r.packed) {
    r.batch = pack_for(r.batch, r.m.requester, MsgKind::PackAns, result);
    packed = r.batch->pack.add(PackedAnswer{r.m.op, part.index, 0, static_cast<uint16_t>(result)});
  }
  std::byte old[8];
  r.lock(p);  // hot paths write, too
  Bytes data_out{p->data + part.off, result};
  if (r.m.kind == OpKind::Read) {
    if (packed) copy_item(packed, data_out.data(), result);
  } else {
    auto* to = store_.writable(*p) + part.off;
    if (r.m.kind == OpKind::Fad) {
      uint64_t sum, add;
      std::memcpy(old, to, 8);
      std::memcpy(&sum, old, 8);
      std::memcpy(&add, data.data(), 8);
      sum += add;
      std::memcpy(to, &sum, 8);
      data_out = old;
      if (packed) std::memcpy(packed, old, 8);
    } else {
      copy_item(to, data.data(), part.len);
    }
  }
  if (!packed) {
    const PageAnsPart answer{part.index, 0, p->ver, result};
    if (r.batch && takes(r.batch, r.m.op)) {
      r.batch->ans.parts.push_back(answer);
      add_data(*r.batch, {data_out});
    } else {
      add_answer(r.m.requester, r.m.op, answer, {data_out});
      r.batch = &batch_for(r.m.requester);
    }
  }
  if (!r.packed) r.unlock();
  return true;
}

// Where a message that writes a whole page that we own should put it; null: anywhere.
std::byte* EngineImpl::sink_page(MemberId from, Bytes head, size_t body_size) {
  PageReq m;
  Bytes none;
  if (!decode(head, {}, m, none) || m.kind != OpKind::Write || m.parts.size() != 1 || m.parts[0].len != body_size || m.parts[0].off != 0) return nullptr;
  const auto* p = possible(m.parts[0].key) ? store_.find(m.parts[0].key) : nullptr;
  if (!p || p->role != Role::Owned || static_cast<uint64_t>(p->size) != body_size) return nullptr;
  auto& frame = sunk_[from];
  if (!frame || frame->size != p->size) frame.reset(PageFrame::make_raw(p->size));
  return frame->bytes();
}

void EngineImpl::on(MemberId from, uint64_t epoch, PageReq& m, Bytes data) {
  const bool read = m.kind == OpKind::Read;
  const bool known = read || m.kind == OpKind::Write || m.kind == OpKind::Cas || m.kind == OpKind::Fas || m.kind == OpKind::Fad || m.kind == OpKind::Function;
  if (!known || m.requester < 0) return broke_protocol(from, "a page request of unknown kind");
  struct Over {
    FramePtr& frame;
    ~Over() { frame.reset(); }
  } over{arrived_};
  if (auto at = sunk_.find(from); at != sunk_.end() && !data.empty() && at->second && data.data() == at->second->bytes()) arrived_ = std::move(at->second);
  const auto parts = std::move(m.parts);
  Requested requested(m, from, epoch, false);
  requested.at_rest = m.requester != self_ && view_.has(m.requester) && ((read && m.mode == Mode::Get) || m.kind == OpKind::Write || m.kind == OpKind::Fad);
  for (auto& part : parts) {
    if (part.len > data.size() && !read && m.kind != OpKind::Fad && m.kind != OpKind::Function) return broke_protocol(from, "a page request without its data");
    const size_t bytes = data_bytes(m, part.len);
    if (bytes > data.size()) return broke_protocol(from, "a page request without its data");
    const auto mine = data.first(bytes);
    data = data.subspan(bytes);
    if (!serve(requested, part, mine)) return;
  }
  if (!data.empty()) broke_protocol(from, "a page request with more data than it names");
}

void EngineImpl::on(MemberId from, uint64_t epoch, Pack& m, Bytes items) {
  if (from == self_ || !sound<PackItem>(items, m.count)) return broke_protocol(from, "a malformed pack of requests");
  PageReq request;
  request.requester = from;
  request.since = m.since;
  Requested requested(request, from, epoch, true);
  const bool here = view_.has(from);
  Unpacking in(items);
  PackItem item;
  Bytes data;
  while (in.next(item, data)) {
    request.op = item.op;
    request.kind = item.kind;
    request.mode = item.kind == OpKind::Read ? Mode::Get : Mode::Put;
    requested.at_rest = here && (item.kind == OpKind::Read || item.kind == OpKind::Write || item.kind == OpKind::Fad);
    if (!serve(requested, {item.index, item.key, item.off, item.len}, data)) return;
  }
}

bool EngineImpl::serve(Requested& r, const PagePart& part, Bytes mine) {
  const auto& m = r.m;
  const auto refuse = [&](const char* what) {
    broke_protocol(r.from, what);
    return false;
  };
  if (!possible(part.key)) return refuse("a page of an impossible mapping");
  if (serve_at_rest(r, part, mine)) return true;
  r.unlock();
  r.page = nullptr;  // the long way may move it
  const size_t bytes = mine.size();
  PageReq head = m;
  head.flags = 0;
  head.page_size = head.page_count = 0;
  OpState* local = nullptr;
  bool departed = false, early = false;
  if (m.requester != self_ && !view_.has(m.requester)) {
    departed = m.since <= view_.epoch();     // nobody waits for the answer; but the page may have to be created
    early = !departed && m.kind == OpKind::Read && m.mode != Mode::Get;  // it has joined in a view that we have not seen; only members may be sharers
  }
  if (m.requester == self_) {  // our own request came round: its data is in our buffers, which outlive this message
    local = state(m.op);
    if (!local || part.index >= local->parts.size() || local->parts[part.index].done) return true;
    mine = local->parts[part.index].data;
    if (mine.size() != bytes) return refuse("our own request, changed");
  }
  auto* map = store_.mapping(mapping_of(part.key));
  if (map && map->dead.load(std::memory_order_relaxed)) {
    answer_error(m.requester, m.op, part.index, EFAULT);
    return true;
  }
  const bool learned = !map && (m.flags & PageReq::kViaHome);
  if (learned) {
    map = learn(mapping_of(part.key), m.page_size, m.page_count);
    if (!map) return refuse("a page of an impossible mapping");
  }
  auto* p = map ? map->find(index_of(part.key)) : nullptr;
  const bool owned = p && p->role == Role::Owned;
  const bool create = map && (m.flags & PageReq::kCreate);
  if (departed && !create) return true;
  if (early) {
    // The page is created at once all the same: an order to hand it over may be right behind.
    if (!owned && create && index_of(part.key) < static_cast<uint64_t>(map->page_count))
      if (auto* frame = zeros(*map, learned)) become_owner(store_.get(*map, index_of(part.key)), frame, 0, {});
    PageReq one = m;
    one.flags &= static_cast<uint8_t>(~PageReq::kCreate);
    one.parts = {part};
    future_.emplace_back(m.since, Stored{r.from, encode(one, r.epoch, kInline), {}});
    return true;
  }
  // The home forwards to the owner. But it may have been the home of an older view, and its successor have ordered the
  // page away since: then the request goes back to the home. It stays when the page is surely on its way here.
  const bool expected = create || ((m.flags & PageReq::kViaHome) && (r.from == self_ || (p && p->work && p->work->acquiring)));
  if (!owned && !expected) {
    home_part(head, part, mine, r.epoch, r.from);
    return true;
  }
  if (index_of(part.key) >= static_cast<uint64_t>(map->page_count) || part.off > static_cast<uint64_t>(map->page_size) ||
      part.len > static_cast<uint64_t>(map->page_size) - part.off || (m.kind == OpKind::Fad && part.len != 8) ||
      m.out_size > kFunctionData) {
    answer_error(m.requester, m.op, part.index, EFAULT);
    return true;
  }
  PageFrame* frame = nullptr;
  if (!owned && create && !(frame = zeros(*map, learned))) {
    answer_error(m.requester, m.op, part.index, EFAULT);
    return true;
  }
  if (!p) p = &store_.get(*map, index_of(part.key));
  PageTask t;
  t.requester = m.requester;
  t.since = m.since;
  t.op = m.op;
  t.index = part.index;
  t.kind = m.kind;
  t.mode = m.mode;
  t.tag = m.tag;
  t.in_size = m.in_size;
  t.out_size = m.out_size;
  t.off = part.off;
  t.len = part.len;
  t.packed = r.packed;
  t.data = mine;
  if (local) {
    t.local = local;
    local->parts[t.index].sinking = kNoMember;
  }
  if (frame) become_owner(*p, frame, 0, {});
  if (departed) return true;
  if (p->role == Role::Owned) {
    accept(*p, std::move(t));
  } else {  // we are to be the owner, and the page (or the order to create it) is on its way
    t.keep_data();
    work(*p).queue.push_back(std::move(t));
  }
  return true;
}

void EngineImpl::accept(Page& p, PageTask task) {
  if (p.work && (p.work->busy || !p.work->queue.empty())) {
    task.keep_data();
    p.work->queue.push_back(std::move(task));
    return;
  }
  run(p, task);
}

void EngineImpl::run_queue(Page& p) {
  const auto key = p.key;
  for (;;) {
    auto* q = store_.find(key);
    if (!q || q->role != Role::Owned || !q->work || q->work->busy || q->work->queue.empty()) break;
    auto task = std::move(q->work->queue.front());
    q->work->queue.pop_front();
    if (!task.own.empty()) task.data = task.own;
    run(*q, task);
  }
  if (auto* q = store_.find(key)) {
    refresh(*q);
    tidy(*q);
  }
}

// One operation on an owned page that is not busy.
void EngineImpl::run(Page& p, PageTask& task) {
  if (task.transfer_to != kNoMember) return hand_over(p, task.transfer_to);
  if (task.local && task.local->parts[task.index].fetch) {
    // It had been sent as a fetch and has come back to us, who own the page by now.
    task.local->parts[task.index].fetch = false;
    if (p.work && p.work->fetches > 0) p.work->fetches--;
  }
  if (task.kind == OpKind::Read) return read_page(p, task);
  write_page(p, task);
}

void EngineImpl::read_page(Page& p, PageTask& t) {
  const bool cache = t.mode != Mode::Get && t.requester != self_;
  const uint64_t off = cache ? 0 : t.off;
  const uint64_t len = cache ? static_cast<uint64_t>(p.size) : t.len;
  if (cache) {
    auto& sharers = work(p).sharers;
    auto at = std::find_if(sharers.begin(), sharers.end(), [&](auto& s) { return s.member == t.requester; });
    if (at == sharers.end()) sharers.push_back({t.requester, t.mode == Mode::Update, view_.epoch()});
    else at->update = t.mode == Mode::Update;
    refresh(p);  // from here on hot writes must not change it silently
  }
  if (t.local) {
    auto* to = t.local->parts[t.index].to;
    p.lock.lock();
    std::memcpy(to, p.data + off, len);
    p.lock.unlock();
    return finish_part(*t.local, t.index, 0, {to, len}, true);
  }
  p.lock.lock();
  Data d{{p.data + off, len}, nullptr, false};
  // Bytes in flight freeze the frame, so a big page is not frozen for the sake of a small part of it.
  if (len >= 4096 && len * 8 >= static_cast<uint64_t>(p.size)) d.keep = p.frame->keep();
  answer(t, 0, p.ver, std::move(d));  // copies, unless kept
  p.lock.unlock();
}

// ---- writes ------------------------------------------------------------------------------------------------------------
void EngineImpl::write_page(Page& p, PageTask& t) {
  if (t.kind == OpKind::Write && t.len == 0) return answer(t, 0);
  if (p.work) std::erase_if(p.work->sharers, [&](auto& s) { return view_.is_gone(s.member, s.since); });
  if (t.kind == OpKind::Function) {
    auto& w = work(p);
    w.busy = true;
    busy_.insert(&p);
    t.keep_data();
    w.current = std::move(t);
    if (!w.current.own.empty()) w.current.data = w.current.own;
    refresh(p);
    const auto ver = p.ver + 1;
    w.unacked = w.sharers;
    for (auto& s : w.sharers) send(s.member, Invalidate{p.key, ver});
    if (w.unacked.empty()) start_function(p);
    return;
  }
  // What will be written, and the answer.
  std::byte small[16];
  std::vector<std::byte> before;
  Bytes bytes = t.data;
  Bytes result;
  p.lock.lock();
  const std::byte* now = p.data + t.off;
  if (t.kind == OpKind::Cas) {
    const bool equal = std::memcmp(now, t.data.data(), t.len) == 0;
    small[8] = std::byte{equal};
    result = {small + 8, 1};
    if (!equal) {
      p.lock.unlock();
      refresh(p);
      return answer(t, 0, p.ver, {result});
    }
    bytes = t.data.subspan(t.len);
  } else if (t.kind == OpKind::Fad) {
    uint64_t old, add;
    std::memcpy(&old, now, 8);
    std::memcpy(&add, t.data.data(), 8);
    std::memcpy(small + 8, &old, 8);
    result = {small + 8, 8};
    old += add;
    std::memcpy(small, &old, 8);
    bytes = {small, 8};
  } else if (t.kind == OpKind::Fas) {
    before.assign(now, now + t.len);
    result = before;
  }
  if (!p.work || p.work->sharers.empty()) {
    FramePtr old;
    if (arrived_ && t.kind == OpKind::Write && bytes.data() == arrived_->bytes() && bytes.size() == static_cast<size_t>(p.size))
      old.reset(store_.exchange_frame(p, arrived_.release()));
    else
      std::memcpy(store_.writable(p) + t.off, bytes.data(), bytes.size());
    p.lock.unlock();
    refresh(p);
    answer(t, 0, p.ver, {result});
    wake_watchers(p);
    return;
  }
  p.lock.unlock();
  auto& w = *p.work;
  w.busy = true;
  busy_.insert(&p);
  w.effect.assign(bytes.begin(), bytes.end());
  w.effect_off = t.off;
  w.result.assign(result.begin(), result.end());
  w.current = std::move(t);
  w.current.own = {};
  w.current.data = {};
  refresh(p);
  const auto ver = p.ver + 1;
  const bool only = w.sharers.size() == 1;
  auto shared = std::make_shared<std::vector<std::byte>>(w.effect);
  w.unacked = w.sharers;
  for (auto& s : w.sharers) {
    if (s.update) send(s.member, Stage{p.key, ver, w.effect_off, only}, {*shared, shared});
    else send(s.member, Invalidate{p.key, ver});
  }
}

void EngineImpl::on(MemberId from, uint64_t, Ack& m, Bytes) {
  auto* p = store_.find(m.key);
  if (!p || p->role != Role::Owned || !p->work || !p->work->busy || m.ver != p->ver + 1) return;
  auto& w = *p->work;
  auto at = std::find_if(w.unacked.begin(), w.unacked.end(), [&](auto& s) { return s.member == from; });
  if (at == w.unacked.end()) return;
  w.unacked.erase(at);
  if (!m.held) std::erase_if(w.sharers, [&](auto& s) { return s.member == from; });
  if (!w.unacked.empty()) return;
  commit_write(*p);
}

// Every copy is gone or staged: the write takes place now.
void EngineImpl::commit_write(Page& p) {
  auto& w = *p.work;
  if (w.current.kind == OpKind::Function) return start_function(p);
  p.ver++;
  p.lock.lock();
  std::memcpy(store_.writable(p) + w.effect_off, w.effect.data(), w.effect.size());
  p.lock.unlock();
  std::erase_if(w.sharers, [&](auto& s) { return view_.is_gone(s.member, s.since); });
  for (auto& s : w.sharers) send(s.member, Commit{p.key, p.ver});
  w.busy = false;
  busy_.erase(&p);
  auto task = std::move(w.current);
  auto result = std::move(w.result);
  w.current = {};
  w.effect = {};
  w.result = {};
  answer(task, 0, p.ver, {result});
  wake_watchers(p);
  run_queue(p);
}

struct RunningFunction {
  PageKey key;
  PageFrame* frame;       // alive while the function runs, even if the mapping is not
  std::vector<std::byte> in, out;
};

void EngineImpl::start_function(Page& p) {
  auto& w = *p.work;
  w.sharers.clear();
  p.ver++;
  p.lock.lock();
  auto* bytes = store_.writable(p);
  p.lock.unlock();
  auto running = std::make_unique<RunningFunction>();
  running->key = p.key;
  running->frame = p.frame;
  p.frame->ref();
  running->in.assign(w.current.data.begin(), w.current.data.end());
  running->out.resize(w.current.out_size);
  auto* call = new FunctionCall{bytes + w.current.off, static_cast<int64_t>(w.current.len), running->in.data(),
                                static_cast<int64_t>(running->in.size()), running->out.data(), static_cast<int64_t>(running->out.size()),
                                w.current.tag, 0, nullptr};
  call->engine = running.release();
  w.function = call;
  out_->functions.push_back(call);
}

void EngineImpl::function_done(FunctionCall* call, Outbox& out) {
  Entry entry(*this, out);
  std::unique_ptr<FunctionCall> owned(call);
  std::unique_ptr<RunningFunction> running(static_cast<RunningFunction*>(call->engine));
  running->frame->unref();
  auto* p = store_.find(running->key);
  if (!p || !p->work || p->work->function != call) return;  // unmapped while it ran
  auto& w = *p->work;
  w.function = nullptr;
  w.busy = false;
  busy_.erase(p);
  auto task = std::move(w.current);
  w.current = {};
  answer(task, call->error, p->ver, call->error ? Data{} : Data{running->out});
  wake_watchers(*p);
  run_queue(*p);
}

}  // namespace dmi::memory
