#include "scheduler.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/mman.h>

#include <chrono>

#include "platform.h"
#include "signals.h"

namespace dmi::host {
namespace {

long futex(std::atomic<uint32_t>* word, int op, uint32_t value) {
  return raw_syscall(SYS_futex, reinterpret_cast<long>(word), op | FUTEX_PRIVATE_FLAG, value);
}

thread_local Worker* tls_worker = nullptr;

}  // namespace

void Scheduler::start(int workers, SchedulerHooks hooks) {
  hooks_ = std::move(hooks);
  install_signal_handlers();
  for (int i = 0; i < workers; i++) {
    workers_.push_back(std::make_unique<Worker>());
    workers_.back()->index = i;
  }
  for (auto& w : workers_) w->thread = std::thread([this, p = w.get()] { run_worker(*p); });
  clock_ = std::thread([this] { block_all_signals(), run_clock(); });
  ticker_ = std::thread([this] { block_all_signals(), run_ticker(); });
}

void Scheduler::stop() {
  stopping_ = true;
  for (auto& w : workers_) wake(*w);
  {
    std::lock_guard a(clock_mutex_), b(tick_mutex_);
    clock_wake_.notify_all();
    tick_wake_.notify_all();
  }
}

// ---- queues ----------------------------------------------------------------------------------------------------------

void Scheduler::push(Worker& w, Guest& g) {
  std::lock_guard hold(w.queue_lock);
  g.queued_on = &w;
  g.queue_prev = w.tail;
  g.queue_next = nullptr;
  (w.tail ? w.tail->queue_next : w.head) = &g;
  w.tail = &g;
  w.queued.fetch_add(1, std::memory_order_seq_cst);
}

Guest* Scheduler::pop(Worker& w) {
  if (w.queued.load(std::memory_order_relaxed) == 0) return nullptr;
  std::lock_guard hold(w.queue_lock);
  Guest* g = w.head;
  if (!g) return nullptr;
  w.head = g->queue_next;
  (w.head ? w.head->queue_prev : w.tail) = nullptr;
  g->queued_on = nullptr;
  w.queued.fetch_sub(1, std::memory_order_relaxed);
  return g;
}

bool Scheduler::unqueue(Guest& g) {
  Worker* w = g.queued_on;
  if (!w) return false;
  std::lock_guard hold(w->queue_lock);
  if (g.queued_on != w) return false;
  (g.queue_prev ? g.queue_prev->queue_next : w->head) = g.queue_next;
  (g.queue_next ? g.queue_next->queue_prev : w->tail) = g.queue_prev;
  g.queued_on = nullptr;
  w->queued.fetch_sub(1, std::memory_order_relaxed);
  return true;
}

Guest* Scheduler::take(Worker& w) {
  if (Guest* g = pop(w)) return g;
  for (size_t i = 1; i < workers_.size(); i++)
    if (Guest* g = pop(*workers_[(static_cast<size_t>(w.index) + i) % workers_.size()])) return g;
  return nullptr;
}

void Scheduler::make_ready(Guest& g) {
  Worker* target = g.worker;
  if (!target) target = workers_[next_worker_.fetch_add(1) % workers_.size()].get();
  // A worker that has nothing to do is better than the one that ran it last.
  if (target->current && !target->doze.load(std::memory_order_relaxed) && sleeping_workers_.load(std::memory_order_relaxed) > 0)
    for (auto& w : workers_)
      if (w->doze.load(std::memory_order_relaxed)) {
        target = w.get();
        break;
      }
  push(*target, g);
  if (target->doze.load(std::memory_order_seq_cst)) {
    wake(*target);
  } else if (target->slice_start.load()) {
    want_ticks();  // somebody waits behind a running guest: slices are needed
  }
}

// Callers have made the reason visible (a queued guest, a slice begun) before they look at ticking_; the ticker clears it
// before it looks for reasons. So one of the two sees the other.
void Scheduler::want_ticks() {
  if (ticking_.load()) return;
  std::lock_guard hold(tick_mutex_);
  ticking_ = true;
  tick_wake_.notify_one();
}

void Scheduler::wake(Worker& w) {
  if (w.doze.exchange(0, std::memory_order_seq_cst)) futex(&w.doze, FUTEX_WAKE, 1);
}

// ---- workers ---------------------------------------------------------------------------------------------------------

void Scheduler::run_worker(Worker& w) {
  tls_worker = &w;
  w.self = &w;
  w.tid = static_cast<int>(gettid());
  w.fs = read_fs();
  write_gs(reinterpret_cast<uint64_t>(static_cast<WorkerBase*>(&w)));
  prepare_worker_signals(w);
  while (!stopping_.load(std::memory_order_relaxed)) {
    if (Guest* g = take(w)) run_guest(w, *g);
    else idle(w);
  }
}

// The fast way from guest to guest: one lock, one reading of the clock, and no return to the worker's loop. The worker has a
// running and a waiting guest before and after, so whether ticks are wanted does not change.
Context* Scheduler::pass_on(Worker& w) {
  Guest& g = *w.current;
  if (w.preempt_wanted || g.pause_wanted.load(std::memory_order_relaxed) || w.queued.load(std::memory_order_relaxed) == 0) return nullptr;
  const uint64_t now = __builtin_ia32_rdtsc();
  w.queue_lock.lock();
  Guest* next = w.head;
  if (!next || next->pause_wanted.load(std::memory_order_relaxed) || next->input.call) {
    w.queue_lock.unlock();
    return nullptr;
  }
  w.head = next->queue_next;
  (w.head ? w.head->queue_prev : w.tail) = nullptr;
  next->queued_on = nullptr;
  g.context.result = 0;
  g.cpu_ticks.store(g.cpu_ticks.load(std::memory_order_relaxed) + (now - w.run_since), std::memory_order_relaxed);
  g.state.store(State::Ready, std::memory_order_relaxed);
  g.queued_on = &w;
  g.queue_prev = w.tail;
  g.queue_next = nullptr;
  (w.tail ? w.tail->queue_next : w.head) = &g;
  w.tail = &g;
  next->state.store(State::Running, std::memory_order_relaxed);
  next->worker = &w;
  w.current = next;
  w.queue_lock.unlock();
  w.context = &next->context;
  w.run_since = now;
  w.slice_start.store(now, std::memory_order_relaxed);
  return w.context;
}

extern "C" Context* dmi_pass_on(WorkerBase* w) { return Scheduler::pass_on(*static_cast<Worker*>(w)); }

void Scheduler::run_guest(Worker& w, Guest& g) {
  g.lock.lock();
  if (g.pause_wanted) {
    g.state = State::Paused;
    g.rest = Rest::Run;
    g.lock.unlock();
    on_paused(g);
    return;
  }
  g.state = State::Running;
  g.worker = &w;
  g.lock.unlock();
  w.current = &g;
  w.context = &g.context;
  w.preempt_wanted = 0;
  w.slice_start.store(__builtin_ia32_rdtsc());
  if (w.queued.load() > 0 || hooks_.unsent()) want_ticks();
  Next next = Next::Continue;
  if (g.input.call) {
    next = hooks_.serve_again(w, g);
    if (next == Next::Continue && (w.preempt_wanted || g.pause_wanted)) next = Next::Yield;
  }
  while (next == Next::Continue) {
    w.run_since = __builtin_ia32_rdtsc();
    dmi_switch_in();
    Guest& now = *w.current;  // the first may have passed the worker on to another
    now.cpu_ticks.store(now.cpu_ticks.load(std::memory_order_relaxed) + (__builtin_ia32_rdtsc() - w.run_since), std::memory_order_relaxed);
    if (now.pins_changed) now.note_pins();
    if (static_cast<Reason>(now.context.reason) == Reason::Preempt) {
      next = Next::Yield;
    } else {
      next = hooks_.serve(w, now);
      if (next == Next::Continue && (w.preempt_wanted || now.pause_wanted)) next = Next::Yield;
    }
  }
  Guest& last = *w.current;
  w.slice_start.store(0, std::memory_order_relaxed);
  w.context = nullptr;
  w.current = nullptr;
  if (next == Next::Yield) settle(last);
}

void Scheduler::settle(Guest& g) {
  g.lock.lock();
  if (g.pause_wanted) {
    g.state = State::Paused;
    g.rest = Rest::Run;
    g.lock.unlock();
    on_paused(g);
    return;
  }
  g.state = State::Ready;
  g.lock.unlock();
  push(*g.worker, g);
}

void Scheduler::idle(Worker& w) {
  hooks_.flush();
  if (w.queued.load(std::memory_order_relaxed)) return;
  if (hooks_.idle_poll(-1)) return;
  w.doze.store(1, std::memory_order_seq_cst);
  sleeping_workers_.fetch_add(1);
  bool work = stopping_.load();
  for (auto& v : workers_) work = work || v->queued.load(std::memory_order_seq_cst) > 0;
  if (work) w.doze.store(0);
  while (w.doze.load(std::memory_order_relaxed)) futex(&w.doze, FUTEX_WAIT, 1);
  sleeping_workers_.fetch_sub(1);
}

void Scheduler::interrupt(Guest& g) {
  Worker* w = g.worker;
  if (w && w->current == &g) preempt(*w);
}

void Scheduler::preempt(Worker& w) {
  if (!w.preempting.exchange(true)) raw_syscall(SYS_tgkill, getpid(), w.tid, kPreemptSignal);
}

// ---- time ------------------------------------------------------------------------------------------------------------

Next Scheduler::sleep(Guest& g, int64_t deadline, int64_t result) {
  g.sleep_result = result;
  g.lock.lock();
  // What it waits for may have come just now.
  g.wake_at = g.input.call && g.input.ready() ? 0 : deadline;
  if (g.pause_wanted) {
    g.state = State::Paused;
    g.rest = Rest::Sleep;
    g.lock.unlock();
    on_paused(g);
    return Next::Gone;
  }
  g.state = State::Sleeping;
  add_sleeper(g);  // before it is seen asleep by who could wake it
  g.lock.unlock();
  return Next::Gone;
}

void Scheduler::add_sleeper(Guest& g) {
  std::lock_guard hold(clock_mutex_);
  const bool first = sleepers_.empty() || g.wake_at < sleepers_.begin()->first;
  sleepers_.emplace(g.wake_at, &g);
  if (first) clock_wake_.notify_one();
}

bool Scheduler::remove_sleeper(Guest& g) {
  std::lock_guard hold(clock_mutex_);
  for (auto [it, end] = sleepers_.equal_range(g.wake_at); it != end; ++it)
    if (it->second == &g) {
      sleepers_.erase(it);
      return true;
    }
  return false;
}

void Scheduler::run_clock() {
  std::unique_lock hold(clock_mutex_);
  while (!stopping_) {
    if (sleepers_.empty()) {
      clock_wake_.wait(hold);
      continue;
    }
    const int64_t now = monotonic_ns(), first = sleepers_.begin()->first;
    if (first > now) {
      clock_wake_.wait_for(hold, std::chrono::nanoseconds(first - now));
      continue;
    }
    Guest* g = sleepers_.begin()->second;
    sleepers_.erase(sleepers_.begin());
    hold.unlock();
    g->lock.lock();
    g->context.result = g->sleep_result;
    const bool paused = g->pause_wanted;
    g->state = paused ? State::Paused : State::Ready;
    g->rest = Rest::Run;
    g->lock.unlock();
    if (paused) on_paused(*g);
    else make_ready(*g);
    hold.lock();
  }
}

void Scheduler::run_ticker() {
  std::unique_lock hold(tick_mutex_);
  while (!stopping_) {
    if (!ticking_) {
      tick_wake_.wait(hold);
      continue;
    }
    tick_wake_.wait_for(hold, std::chrono::nanoseconds(kSlice));
    if (hooks_.unsent()) {  // a guest that computes for long must not hold up what others have left to be sent
      hold.unlock();
      hooks_.flush();
      hold.lock();
    }
    ticking_ = false;
    const uint64_t now = __builtin_ia32_rdtsc(), slice = static_cast<uint64_t>(ticks_per_second() * kSlice * 1e-9);
    int total = 0;
    for (auto& w : workers_) total += w->queued.load();
    for (auto& w : workers_) {
      const uint64_t begin = w->slice_start.load();
      if (!begin || !total) continue;
      ticking_ = true;
      if (now > begin && now - begin >= slice) preempt(*w);
    }
  }
}

}  // namespace dmi::host
