// What virtual threads do, and what must hold of the results.
#include <bit>
#include <cstring>

#include "job.h"
#include "memory/core/sync_objects.h"

namespace dmi::memory::sim {

static std::string str(uint64_t x) { return std::to_string(x); }

Op& Job::prepare(Thread& t, OpKind kind, GlobalAddr addr) {
  t.op = Op{};
  t.op.kind = kind;
  t.op.addr = addr;
  t.op.thread = t.key;
  t.op.mode = Mode::Put;
  return t.op;
}
void Job::check_ok(Thread& t) {
  if (t.op.error) fail("operation " + str(static_cast<uint64_t>(t.op.kind)) + " of thread " + str(t.number) + " failed: " + t.op.message);
}

Script Job::map(Thread& t, int64_t page_size, int64_t pages, GlobalAddr& addr) {
  auto& op = prepare(t, OpKind::Mmap);
  op.size = page_size;
  op.value = pages;
  co_await perform(t);
  check_ok(t);
  addr = op.value;
}

Script Job::setup(Thread& t) {
  // More pages for more threads: a history of very many operations at once cannot be checked.
  const int64_t scale = std::max<int64_t>(1, options_.threads / 16);
  for (auto [size, few] : {std::pair{16, 3}, {24, 4}, {2048, 2}}) {
    const auto pages = few * scale;
    auto& m = maps_.emplace_back();
    m.page_size = size;
    m.pages = pages;
    co_await map(t, size, pages, m.addr);
    m.histories.resize(static_cast<size_t>(pages));
  }
  big_.page_size = 5000;
  big_.pages = 3 * scale;
  co_await map(t, 5000, big_.pages, big_.addr);
  big_.histories.resize(static_cast<size_t>(big_.pages));
  watched_.page_size = 8;
  watched_.pages = 2;
  co_await map(t, 8, 2, watched_.addr);
  GlobalAddr sync = 0;
  co_await map(t, 64, 32, sync);
  for (int i = 0; i < 3; i++) {
    Lock l;
    l.mutex = sync + i * 256;
    l.condition = l.mutex + 64;
    l.counter = l.mutex + 128;
    locks_.push_back(l);
  }
  for (size_t i = 0; i < groups_.size(); i++) groups_[i].barrier = sync + 1024 + static_cast<int64_t>(i) * 8;
  ready_ = true;
}

Script Job::life(Thread& t) {
  auto& group = groups_[static_cast<size_t>(t.number) % groups_.size()];
  while (!closing_ || t.rounds < group.begun) {
    if (closing_ || ++t.turns % 16 == 0) {
      co_await meet(t);
      continue;
    }
    if (random(2)) co_await Pause{*this, t};
    switch (random(20)) {
      case 0: case 1: case 2: case 3: case 4: case 5: co_await page_op(t, false); break;
      case 6: co_await big_op(t); break;
      case 7: case 8: co_await group_op(t); break;
      case 9: co_await function_op(t); break;
      case 10: case 11: co_await locked(t); break;
      case 12: co_await consume(t); break;
      case 13: co_await produce(t, locks_[random(locks_.size())]); break;
      case 14: co_await event_wait(t); break;
      case 15: co_await event_set(t); break;
      case 16: co_await mail_wait(t); break;
      case 17: co_await mail_post(t); break;
      case 18: if (random(2)) co_await watch(t); else co_await bump(t); break;
      case 19:
        switch (random(3)) {
          case 0: co_await scratch(t); break;
          case 1: co_await stray(t); break;
          case 2: co_await pin(t); break;
        }
        break;
    }
  }
}

Script Job::mortal_life(Thread& t) {
  while (!closing_) {
    co_await Pause{*this, t};
    co_await page_op(t, true);
  }
}

// ---- pages -------------------------------------------------------------------------------------------------------------
Script Job::page_op(Thread& t, bool only_read) {
  auto& m = maps_[random(maps_.size())];
  const auto page = random(static_cast<uint64_t>(m.pages));
  auto& history = m.histories[page];
  PageOp h;
  h.kind = only_read ? PageOp::Read : static_cast<PageOp::Kind>(random(5));
  h.thread = t.number;
  h.word = static_cast<uint8_t>(random(2));
  h.words = h.word == 0 && h.kind <= PageOp::Write && random(2) ? 2 : 1;
  const auto addr = m.addr + static_cast<int64_t>(page) * m.page_size + h.word * 8;
  const int64_t size = h.words * 8;
  t.in.assign(16, std::byte{0});
  t.in2.assign(16, std::byte{0});
  t.out.assign(16, std::byte{0});
  if (h.kind != PageOp::Read)
    for (int i = 0; i < h.words; i++) h.in[i] = next_value_++ * 1000;
  if (h.kind == PageOp::Fad) h.in[0] = 1 + random(900);
  if (h.kind == PageOp::Cas) {  // mostly against a value that was there
    h.in[1] = h.in[0];
    h.in[0] = 0;
    for (size_t i = history.size(); i-- > 0;)
      if (history[i].kind == PageOp::Read && history[i].ret != kPending && history[i].word == h.word) { h.in[0] = history[i].out[0]; break; }
  }
  std::memcpy(t.in.data(), h.in.data(), 16);
  std::memcpy(t.in2.data(), &h.in[1], 8);
  const Mode read_mode = static_cast<Mode>(20 + random(3));
  const Mode write_mode = static_cast<Mode>(23 + random(2));
  h.call = clock_++;
  const auto at = history.begin(h);
  auto& engine = *world_.node(t.at).engine;
  if (random(2)) {  // as a host does: the hot path first
    int hit = 0;
    int64_t fetched = 0;
    if (h.kind == PageOp::Read) hit = engine.try_read(addr, size, t.out.data(), read_mode);
    if (h.kind == PageOp::Write) hit = engine.try_write(addr, size, t.in.data(), write_mode);
    if (h.kind == PageOp::Fad) hit = engine.try_fad(addr, static_cast<int64_t>(h.in[0]), &fetched);
    if (hit) {
      report_.hot_hits++;
      if (h.kind == PageOp::Fad) std::memcpy(t.out.data(), &fetched, 8);
      if (h.kind == PageOp::Read || h.kind == PageOp::Fad) std::memcpy(history[at].out.data(), t.out.data(), 16);
      history[at].ret = clock_++;
      co_return;
    }
  }
  switch (h.kind) {
    case PageOp::Read:
      t.pieces = {{addr, size, t.out.data()}};
      prepare(t, OpKind::Read).mode = read_mode;
      t.op.pieces = t.pieces;
      break;
    case PageOp::Write:
      t.pieces = {{addr, size, t.in.data()}};
      prepare(t, OpKind::Write).mode = write_mode;
      t.op.pieces = t.pieces;
      break;
    case PageOp::Cas:
      prepare(t, OpKind::Cas, addr).mode = write_mode;
      t.op.in = t.in.data();
      t.op.in2 = t.in2.data();
      break;
    case PageOp::Fas:
      prepare(t, OpKind::Fas, addr).mode = write_mode;
      t.op.in = t.in.data();
      t.op.out = t.out.data();
      break;
    case PageOp::Fad:
      prepare(t, OpKind::Fad, addr).mode = write_mode;
      t.op.value = static_cast<int64_t>(h.in[0]);
      break;
  }
  t.op.size = size;
  co_await perform(t);
  check_ok(t);
  auto& done = history[at];
  if (h.kind == PageOp::Read || h.kind == PageOp::Fas) std::memcpy(done.out.data(), t.out.data(), 16);
  if (h.kind == PageOp::Fad || h.kind == PageOp::Cas) done.out[0] = static_cast<uint64_t>(t.op.value);
  done.ret = clock_++;
}

// Whole pages filled with one number: reads must never see two.
Script Job::big_op(Thread& t) {
  const auto page = random(static_cast<uint64_t>(big_.pages));
  const auto addr = big_.addr + static_cast<int64_t>(page) * 5000;
  auto& history = big_.histories[page];
  PageOp h;
  h.thread = t.number;
  h.kind = random(2) ? PageOp::Write : PageOp::Read;
  const uint64_t v = next_value_++;
  if (h.kind == PageOp::Write) h.in[0] = v;
  std::vector<std::byte> bytes(5000);
  if (h.kind == PageOp::Write)
    for (size_t i = 0; i < 5000; i += 8) std::memcpy(bytes.data() + i, &v, 8);
  h.call = clock_++;
  const auto at = history.begin(h);
  t.pieces = {{addr, 5000, bytes.data()}};
  prepare(t, h.kind == PageOp::Read ? OpKind::Read : OpKind::Write).mode = static_cast<Mode>(h.kind == PageOp::Read ? 20 + random(3) : 23 + random(2));
  t.op.pieces = t.pieces;
  co_await perform(t);
  check_ok(t);
  if (h.kind == PageOp::Read) {
    std::memcpy(&history[at].out[0], bytes.data(), 8);
    for (size_t i = 8; i < 5000; i += 8)
      if (std::memcmp(bytes.data(), bytes.data() + i, 8) != 0) fail("a read of a whole page saw two writes");
  }
  history[at].ret = clock_++;
}

Script Job::group_op(Thread& t) {
  const int n = 2 + static_cast<int>(random(6));
  const bool write = random(2);
  struct Item { MapUnderTest* m; uint64_t page; size_t at; };
  std::vector<Item> items;
  std::vector<uint64_t> words(static_cast<size_t>(n));
  t.pieces.clear();
  const auto call = clock_++;
  for (int i = 0; i < n; i++) {
    auto& m = maps_[random(maps_.size())];
    const auto page = random(static_cast<uint64_t>(m.pages));
    PageOp h;
    h.kind = write ? PageOp::Write : PageOp::Read;
    h.thread = t.number;
    h.word = static_cast<uint8_t>(random(2));
    if (write) words[static_cast<size_t>(i)] = h.in[0] = next_value_++ * 1000;
    h.call = call;
    items.push_back({&m, page, m.histories[page].begin(h)});
    t.pieces.push_back({m.addr + static_cast<int64_t>(page) * m.page_size + h.word * 8, 8, reinterpret_cast<std::byte*>(&words[static_cast<size_t>(i)])});
  }
  prepare(t, write ? OpKind::Write : OpKind::Read).mode = static_cast<Mode>(write ? 23 + random(2) : 20 + random(3));
  t.op.pieces = t.pieces;
  co_await perform(t);
  check_ok(t);
  const auto ret = clock_++;
  for (size_t i = 0; i < items.size(); i++) {
    auto& h = items[i].m->histories[items[i].page][items[i].at];
    if (!write) h.out[0] = words[i];
    h.ret = ret;
  }
}

// The function that the simulator runs adds its argument to the word and returns what was there.
Script Job::function_op(Thread& t) {
  auto& m = maps_[random(maps_.size())];
  const auto page = random(static_cast<uint64_t>(m.pages));
  PageOp h;
  h.kind = PageOp::Fad;
  h.thread = t.number;
  h.word = static_cast<uint8_t>(random(2));
  h.in[0] = 1 + random(900);
  h.call = clock_++;
  const auto at = m.histories[page].begin(h);
  prepare(t, OpKind::Function, m.addr + static_cast<int64_t>(page) * m.page_size + h.word * 8).mode = static_cast<Mode>(23 + random(2));
  t.in.assign(8, std::byte{0});
  t.out.assign(8, std::byte{0});
  std::memcpy(t.in.data(), h.in.data(), 8);
  t.op.size = 8;
  t.op.tag = 7;
  t.op.in = t.in.data();
  t.op.in_size = 8;
  t.op.out = t.out.data();
  t.op.out_size = 8;
  co_await perform(t);
  check_ok(t);
  std::memcpy(m.histories[page][at].out.data(), t.out.data(), 8);
  m.histories[page][at].ret = clock_++;
}

// ---- locks and conditions ----------------------------------------------------------------------------------------------
Script Job::locked(Thread& t) {
  auto& l = locks_[random(locks_.size())];
  if (random(4) == 0) {
    prepare(t, OpKind::MutexTryLock, l.mutex);
    co_await perform(t);
    check_ok(t);
    if (t.op.value == 0) co_return;
  } else {
    prepare(t, OpKind::MutexLock, l.mutex);
    co_await perform(t);
    check_ok(t);
  }
  if (l.holder != -1) fail("threads " + str(static_cast<uint64_t>(l.holder)) + " and " + str(t.number) + " hold one mutex");
  l.holder = t.number;
  uint64_t v = 0;
  t.pieces = {{l.counter, 8, reinterpret_cast<std::byte*>(&v)}};
  prepare(t, OpKind::Read).mode = static_cast<Mode>(20 + random(3));
  t.op.pieces = t.pieces;
  co_await perform(t);
  check_ok(t);
  if (v != l.expected) fail("a counter under a lock reads " + str(v) + " instead of " + str(l.expected));
  v++;
  prepare(t, OpKind::Write).mode = static_cast<Mode>(23 + random(2));
  t.op.pieces = t.pieces;
  co_await perform(t);
  check_ok(t);
  l.expected++;
  l.holder = -1;
  prepare(t, OpKind::MutexUnlock, l.mutex);
  co_await perform(t);
  check_ok(t);
}

Script Job::consume(Thread& t) {
  auto& l = locks_[random(locks_.size())];
  prepare(t, OpKind::MutexLock, l.mutex);
  co_await perform(t);
  check_ok(t);
  if (l.holder != -1) fail("two threads hold one mutex");
  l.holder = t.number;
  while (l.tokens == 0 && !closing_) {
    l.holder = -1;
    l.waiting++;
    prepare(t, OpKind::CondWait, l.condition).addr2 = l.mutex;
    co_await perform(t);
    check_ok(t);
    l.waiting--;
    if (l.holder != -1) fail("a condition gave a mutex that thread " + str(static_cast<uint64_t>(l.holder)) + " holds");
    l.holder = t.number;
  }
  if (l.tokens > 0) l.tokens--;
  l.holder = -1;
  prepare(t, OpKind::MutexUnlock, l.mutex);
  co_await perform(t);
  check_ok(t);
}

Script Job::produce(Thread& t, Lock& l) {
  prepare(t, OpKind::MutexLock, l.mutex);
  co_await perform(t);
  check_ok(t);
  if (l.holder != -1) fail("two threads hold one mutex");
  l.holder = t.number;
  l.tokens++;
  prepare(t, closing_ || random(3) == 0 ? OpKind::CondBroadcast : OpKind::CondSignal, l.condition);
  co_await perform(t);
  check_ok(t);
  l.holder = -1;
  prepare(t, OpKind::MutexUnlock, l.mutex);
  co_await perform(t);
  check_ok(t);
}

// ---- barriers ----------------------------------------------------------------------------------------------------------
Script Job::meet(Thread& t) {
  auto& g = groups_[static_cast<size_t>(t.number) % groups_.size()];
  const auto round = ++t.rounds;
  g.begun = std::max(g.begun, round);
  const bool reduces = round % 2;
  const double mine = static_cast<double>(static_cast<int64_t>(random(1000)) - 500) * std::bit_cast<double>((1000 + random(40)) << 52);
  g.values[round].push_back(mine);
  prepare(t, reduces ? OpKind::Allreduce : OpKind::Barrier, g.barrier).pnum = g.size;
  t.op.reduce_op = round % 4 == 1 ? ReduceOp::Sum : ReduceOp::Prod;
  t.op.reduce_type = ReduceType::Double;
  t.in.assign(8, std::byte{0});
  t.out.assign(8, std::byte{0});
  std::memcpy(t.in.data(), &mine, 8);
  t.op.in = t.in.data();
  t.op.out = t.out.data();
  co_await perform(t);
  check_ok(t);
  if (g.values[round].size() != static_cast<size_t>(g.size)) fail("a barrier let a thread go before all had come");
  if (reduces) {
    std::vector<uint64_t> words;
    for (double v : g.values[round]) words.push_back(std::bit_cast<uint64_t>(v));
    const uint64_t expect = reduce(t.op.reduce_op, ReduceType::Double, words);
    uint64_t got;
    std::memcpy(&got, t.out.data(), 8);
    if (got != expect) fail("an allreduce gave a wrong result");
  }
}

// ---- events and mail ---------------------------------------------------------------------------------------------------
Script Job::event_wait(Thread& t) {
  const auto key = next_event_++;
  unset_.push_back(key);
  prepare(t, OpKind::EventWait).target = key;
  co_await perform(t);
  check_ok(t);
  if (t.op.value != static_cast<int64_t>(key ^ 0x55)) fail("an event gave the wrong value");
}
Script Job::event_set(Thread& t) {
  if (unset_.empty()) co_return;
  const auto key = unset_.back();
  unset_.pop_back();
  prepare(t, OpKind::EventSet).target = key;
  t.op.value = static_cast<int64_t>(key ^ 0x55);
  co_await perform(t);
  check_ok(t);
}
Script Job::mail_wait(Thread& t) {
  t.out.assign(8, std::byte{0});
  prepare(t, OpKind::MailWait);
  t.op.out = t.out.data();
  t.op.out_size = 8;
  t.in_mail = true;
  co_await perform(t);
  t.in_mail = false;
  check_ok(t);
  uint64_t v;
  std::memcpy(&v, t.out.data(), 8);
  if (t.op.value != 8 || !received_.insert(v).second) fail("a post arrived wrong, or twice");
}
Script Job::mail_post(Thread& t) {
  std::vector<ThreadKey> waiting;
  for (auto& o : threads_)
    if (o.in_mail) waiting.push_back(o.key);
  if (waiting.empty()) co_return;
  const uint64_t v = next_value_++;
  t.in.assign(8, std::byte{0});
  std::memcpy(t.in.data(), &v, 8);
  prepare(t, OpKind::MailPost).target = waiting[random(waiting.size())];
  t.op.in = t.in.data();
  t.op.in_size = 8;
  co_await perform(t);
  check_ok(t);
  if (t.op.value) posted_.insert(v);
}

// ---- watch, mappings that come and go ------------------------------------------------------------------------------------
Script Job::watch(Thread& t) {
  uint64_t known = 0;
  const auto addr = watched_.addr + 8 * static_cast<int64_t>(random(2));
  t.pieces = {{addr, 8, reinterpret_cast<std::byte*>(&known)}};
  prepare(t, OpKind::Read).mode = Mode::Get;
  t.op.pieces = t.pieces;
  co_await perform(t);
  check_ok(t);
  t.in.assign(8, std::byte{0});
  t.out.assign(8, std::byte{0});
  std::memcpy(t.in.data(), &known, 8);
  prepare(t, OpKind::Watch, addr).size = 8;
  t.op.in = t.in.data();
  t.op.out = t.out.data();
  watching_++;
  co_await perform(t);
  watching_--;
  check_ok(t);
  if (t.in == t.out) fail("a watch returned without a change");
}
Script Job::bump(Thread& t) {
  prepare(t, OpKind::Fad, watched_.addr + 8 * static_cast<int64_t>(random(2))).value = 1;
  co_await perform(t);
  check_ok(t);
}
// Pins come and go; where pools are small they keep pages here that would be evicted.
Script Job::pin(Thread& t) {
  auto& m = maps_[random(maps_.size())];
  prepare(t, random(2) ? OpKind::Save : OpKind::Unsave, m.addr + static_cast<int64_t>(random(static_cast<uint64_t>(m.pages))) * m.page_size).size = 16;
  co_await perform(t);
  check_ok(t);
}

Script Job::scratch(Thread& t) {
  auto& op = prepare(t, OpKind::Mmap);
  op.size = 32;
  op.value = 5;
  co_await perform(t);
  if (t.op.error == ENOMEM && options_.pool < (1 << 20)) co_return;  // members have left: there may be no room
  check_ok(t);
  const GlobalAddr addr = t.op.value;
  scratches_.push_back(addr);
  std::vector<std::byte> bytes(160), back(160);
  for (auto& b : bytes) b = static_cast<std::byte>(random(256));
  t.pieces = {{addr, 160, bytes.data()}};
  prepare(t, OpKind::Write).mode = static_cast<Mode>(23 + random(2));
  t.op.pieces = t.pieces;
  co_await perform(t);
  check_ok(t);
  t.pieces = {{addr, 160, back.data()}};
  prepare(t, OpKind::Read).mode = static_cast<Mode>(20 + random(3));
  t.op.pieces = t.pieces;
  co_await perform(t);
  check_ok(t);
  if (bytes != back) fail("a private mapping does not hold what was written");
  prepare(t, OpKind::Munmap, addr);
  co_await perform(t);
  check_ok(t);
  prepare(t, OpKind::Read).mode = Mode::Get;
  t.op.pieces = t.pieces;
  co_await perform(t);
  if (t.op.error != EINVAL && t.op.error != EFAULT) fail("a mapping could be read after its end");
}
Script Job::stray(Thread& t) {
  if (scratches_.empty()) co_return;
  std::vector<std::byte> back(160);
  t.pieces = {{scratches_[random(scratches_.size())], 160, back.data()}};
  prepare(t, OpKind::Read).mode = static_cast<Mode>(20 + random(3));
  t.op.pieces = t.pieces;
  co_await perform(t);
  if (t.op.error && t.op.error != EINVAL && t.op.error != EFAULT) check_ok(t);
}

// Frees whoever waits, for ever. Acts when nobody else can.
Script Job::rescue(Thread& t) {
  while (!unset_.empty()) co_await event_set(t);
  for (auto& l : locks_)
    if (l.waiting > 0) co_await produce(t, l);
  co_await mail_post(t);
  if (watching_ > 0)
    for (int i = 0; i < 2; i++) {
      prepare(t, OpKind::Fad, watched_.addr + 8 * i).value = 1;
      co_await perform(t);
      check_ok(t);
    }
}

// The last word: counters are exact.
Script Job::finish(Thread& t) {
  for (auto& l : locks_) {
    uint64_t v = 0;
    t.pieces = {{l.counter, 8, reinterpret_cast<std::byte*>(&v)}};
    prepare(t, OpKind::Read).mode = Mode::Get;
    t.op.pieces = t.pieces;
    co_await perform(t);
    check_ok(t);
    if (v != l.expected) fail("a locked counter ends at " + str(v) + " instead of " + str(l.expected));
  }
  if (posted_ != received_) fail("posts and receipts differ");
}

}  // namespace dmi::memory::sim
