// M:N scheduling: one worker (kernel thread) per core, a run queue each, user-level switches.
//
// A guest that blocks leaves its worker free; a worker without guests steals, then does the network's work for a moment
// (`idle_poll`), then sleeps on a futex. A ticker thread preempts guests that have run for a slice while others wait; it
// sleeps when nobody waits. Sleeping guests wait in one deadline queue served by the clock thread.
#pragma once
#include <signal.h>
#include <ucontext.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "guest.h"

namespace dmi::host {

struct Fault {
  int signal = 0;
  int code = 0;
  uint64_t address = 0;
  uint64_t pc = 0;
  uint64_t sp = 0;
  uint64_t bp = 0;
  uint64_t fs = 0;
  const ucontext_t* frame = nullptr;  // on the worker's alternate stack, until the next fault; its RIP and RSP are not the guest's any more
  const siginfo_t* info = nullptr;    // there, too
};

constexpr size_t kAlternateStack = 64 << 10;  // bytes

struct alignas(64) Worker : WorkerBase {
  int index = 0;
  int tid = 0;
  std::thread thread;
  Guest* current = nullptr;
  std::atomic<uint64_t> slice_start{0};  // time-stamp counter when `current` was put on; 0: no guest runs
  uint64_t run_since = 0;               // time-stamp counter: `current` has computed since then
  Fault fault;                          // set by the signal handler before it abandons the guest
  void* alternate_stack = nullptr;      // for fault handlers
  uint64_t signal_mask = 0;             // the kernel's, as it stays
  std::atomic<bool> preempting{false};  // a preemption signal is on its way: there is never more than one, or many would fill a small stack
  SpinLock queue_lock;
  Guest* head = nullptr;
  Guest* tail = nullptr;
  std::atomic<int> queued{0};
  std::atomic<uint32_t> doze{0};        // futex: 1 while asleep
};

// What the handler of a guest's request leaves its worker to do.
enum class Next : uint8_t {
  Continue,  // context.result is set: the same guest goes on
  Yield,     // to the end of the queue
  Gone,      // blocked, offloaded, paused or done: do not touch the guest any more
};

struct SchedulerHooks {
  std::function<Next(Worker&, Guest&)> serve;        // a guest came back with a request; context says which
  std::function<Next(Worker&, Guest&)> serve_again;  // the call in which it waits for input
  std::function<void()> flush;                       // no runnable guest is left on a worker
  std::function<bool()> unsent;                      // would flush() do something?
  std::function<bool(int spin_us)> idle_poll;        // do network work; true if there was any
};

class Scheduler {
 public:
  void start(int workers, SchedulerHooks hooks);
  void stop();
  int workers() const { return static_cast<int>(workers_.size()); }

  // Any thread. Takes a guest that is in no queue and runs it when its turn comes.
  void make_ready(Guest& g);
  // Worker only: puts the running guest to sleep until `deadline` (ns, monotonic); it continues with `result`.
  Next sleep(Guest& g, int64_t deadline, int64_t result);
  // Any thread: a guest at rest goes to sleep (again).
  void add_sleeper(Guest& g);
  bool remove_sleeper(Guest& g);  // false: its time has come meanwhile
  // Takes a queued guest out of its queue. Caller holds g.lock. False: it is in no queue.
  bool unqueue(Guest& g);
  // Makes the worker that runs g take it off soon.
  void interrupt(Guest& g);
  // On a worker's stack, from a guest's yield, without the host's thread-local storage: makes the next guest in the worker's
  // queue the current one. Its context, or nullptr: the worker has to look after something first.
  static Context* pass_on(Worker& w);
  // How the worker loop ends a turn: to Ready or Paused. Caller: the worker.
  std::function<void(Guest&)> on_paused;  // the guest came to rest with pause_wanted (no lock held)

 private:
  void run_worker(Worker& w);
  void run_guest(Worker& w, Guest& g);
  Guest* take(Worker& w);
  Guest* pop(Worker& w);
  void push(Worker& w, Guest& g);
  void idle(Worker& w);
  void wake(Worker& w);
  void preempt(Worker& w);
  void run_clock();
  void run_ticker();
  void want_ticks();
  void settle(Guest& g);  // Ready or Paused after a turn

  SchedulerHooks hooks_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::atomic<bool> stopping_{false};
  std::atomic<int> sleeping_workers_{0};
  std::atomic<unsigned> next_worker_{0};

  std::mutex clock_mutex_;
  std::condition_variable clock_wake_;
  std::multimap<int64_t, Guest*> sleepers_;
  std::thread clock_;

  std::mutex tick_mutex_;
  std::condition_variable tick_wake_;
  std::atomic<bool> ticking_{false};
  std::thread ticker_;
};

constexpr int kPreemptSignal = 40;             // a real-time signal, directed at workers only
constexpr int64_t kSlice = 5'000'000;          // ns

}  // namespace dmi::host
