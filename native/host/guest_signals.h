// What signals mean to one thread: actions, mask, what is pending, and its alternate stack, as the kernel keeps them for a process.
//
// A thread gets signals from itself alone: those it raises, and the faults of its own code. So nothing here is ever changed but by
// the thread's own calls and faults. Part of what moves with it. Pure: frames on its stack are signal_frames.h.
#pragma once
#include <signal.h>

#include <cstdint>
#include <map>
#include <vector>

#include "codec.h"

namespace dmi::host {

constexpr int kMostSignal = 64;
using SignalSet = uint64_t;  // as the kernel has it: bit 0 is signal 1
constexpr bool is_signal(int s) { return s >= 1 && s <= kMostSignal; }
constexpr SignalSet bit(int s) { return 1ull << (s - 1); }
constexpr SignalSet kNeverBlocked = bit(SIGKILL) | bit(SIGSTOP);

// The kernel's struct sigaction.
struct SignalAction {
  uint64_t handler = 0;  // SIG_DFL, SIG_IGN or an address
  uint64_t flags = 0;
  uint64_t restorer = 0;
  SignalSet mask = 0;
};

// As in the kernel's stack_t.
struct SignalStack {
  uint64_t start = 0;
  int32_t flags = SS_DISABLE;
  uint64_t size = 0;
  bool holds(uint64_t sp) const { return sp > start && sp - start <= size; }
};

class GuestSignals {
 public:
  SignalSet mask = 0;
  SignalStack stack;
  uint64_t resume_pc = 0;  // where the thread goes on after what is pending now (signal_frames.h); 0: nothing is to be delivered

  SignalAction action(int signal) const;
  void set_action(int signal, SignalAction action);  // what is pending and is ignored by it is forgotten
  bool has_handler(int signal) const { return action(signal).handler > reinterpret_cast<uint64_t>(SIG_IGN); }
  bool ignores(int signal) const;                    // by its action or by default

  // Forgotten if ignored (but not while blocked), and if it is pending already (but not a real-time signal). False: too many are.
  bool raise(const siginfo_t& info);
  SignalSet pending() const;
  // The pending signal of `of` that comes first; 0: none.
  int first(SignalSet of) const;
  int deliverable() const { return pending_.empty() ? 0 : first(~mask); }
  int next();  // the same, but those that mean nothing are forgotten
  siginfo_t take(int signal);  // one that is pending

  // sigaltstack of a thread whose stack pointer is `sp`: 0 or an error. `least`: bytes below which none is taken.
  int set_stack(const SignalStack& wanted, uint64_t sp, uint64_t least);
  SignalStack stack_at(uint64_t sp) const;  // with what the kernel says of it there
  bool on_stack(uint64_t sp) const { return !(stack.flags & SS_DISABLE) && !disarms() && stack.holds(sp); }
  bool disarms() const { return static_cast<uint32_t>(stack.flags) & kAutodisarm; }

  // A new mask until the next handler returns (sigsuspend).
  void suspend(SignalSet with) { before_ = mask, mask = with & ~kNeverBlocked, suspended_ = true; }
  // A handler begins, of a signal that was taken or of a fault: changes the mask; gives the one that holds again after it.
  SignalSet begin(int signal);
  void unsuspend();  // no handler has begun

  void save(Writer& w) const;
  void load(Reader& r);

 private:
  static constexpr size_t kMostPending = 1024;
  static constexpr uint32_t kAutodisarm = 1u << 31;  // SS_AUTODISARM
  std::map<int, SignalAction> actions_;  // others are SIG_DFL
  std::vector<siginfo_t> pending_;       // as they came
  SignalSet before_ = 0;
  bool suspended_ = false;
};

}  // namespace dmi::host
