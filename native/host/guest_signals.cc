#include "guest_signals.h"

#include <errno.h>
#include <string.h>

#include <algorithm>

namespace dmi::host {
namespace {

constexpr SignalSet kIgnoredByDefault = bit(SIGCHLD) | bit(SIGCONT) | bit(SIGURG) | bit(SIGWINCH);
// The kernel delivers these first: whoever raised them knows the state that they tell of.
constexpr SignalSet kFirst = bit(SIGSEGV) | bit(SIGBUS) | bit(SIGILL) | bit(SIGTRAP) | bit(SIGFPE) | bit(SIGSYS);
constexpr uint64_t kKnownFlags = SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER |
                                 static_cast<uint32_t>(SA_RESETHAND) | 0x800 /* SA_EXPOSE_TAGBITS */ | 0x04000000 /* SA_RESTORER */;

bool real_time(int signal) { return signal >= 32; }

}  // namespace

SignalAction GuestSignals::action(int signal) const {
  const auto it = actions_.find(signal);
  return it == actions_.end() ? SignalAction{} : it->second;
}

void GuestSignals::set_action(int signal, SignalAction action) {
  action.flags &= kKnownFlags;
  action.mask &= ~kNeverBlocked;
  actions_[signal] = action;
  if (ignores(signal)) std::erase_if(pending_, [=](const siginfo_t& i) { return i.si_signo == signal; });
}

bool GuestSignals::ignores(int signal) const {
  const uint64_t handler = action(signal).handler;
  return handler == reinterpret_cast<uint64_t>(SIG_IGN) || (handler == 0 && (kIgnoredByDefault & bit(signal)));
}

bool GuestSignals::raise(const siginfo_t& info) {
  const int s = info.si_signo;
  if (ignores(s) && !(mask & bit(s))) return true;
  if (!real_time(s) && (pending() & bit(s))) return true;
  if (pending_.size() >= kMostPending) return false;
  pending_.push_back(info);
  return true;
}

SignalSet GuestSignals::pending() const {
  SignalSet all = 0;
  for (const siginfo_t& i : pending_) all |= bit(i.si_signo);
  return all;
}

int GuestSignals::first(SignalSet of) const {
  SignalSet set = pending() & of;
  if (set & kFirst) set &= kFirst;
  return set ? __builtin_ctzll(set) + 1 : 0;
}

int GuestSignals::next() {
  int signal = deliverable();
  while (signal && ignores(signal)) take(signal), signal = deliverable();
  return signal;
}

siginfo_t GuestSignals::take(int signal) {
  const auto it = std::find_if(pending_.begin(), pending_.end(), [=](const siginfo_t& i) { return i.si_signo == signal; });
  const siginfo_t info = *it;
  pending_.erase(it);
  return info;
}

int GuestSignals::set_stack(const SignalStack& wanted, uint64_t sp, uint64_t least) {
  if (on_stack(sp)) return EPERM;
  const auto mode = static_cast<uint32_t>(wanted.flags) & ~kAutodisarm;
  if (mode != 0 && mode != SS_ONSTACK && mode != SS_DISABLE) return EINVAL;
  if (mode == SS_DISABLE) {
    stack = {};
    return 0;
  }
  if (wanted.size < least) return ENOMEM;
  stack = wanted;
  stack.flags = static_cast<int32_t>(static_cast<uint32_t>(wanted.flags) & kAutodisarm);
  return 0;
}

SignalStack GuestSignals::stack_at(uint64_t sp) const {
  SignalStack s = stack;
  if (on_stack(sp)) s.flags |= SS_ONSTACK;
  return s;
}

SignalSet GuestSignals::begin(int signal) {
  const SignalAction a = action(signal);
  const SignalSet after = suspended_ ? before_ : mask;
  suspended_ = false;
  mask |= a.mask;
  if (!(a.flags & SA_NODEFER)) mask |= bit(signal);
  if (a.flags & static_cast<uint32_t>(SA_RESETHAND)) actions_[signal].handler = 0;
  if (disarms()) stack = {};
  return after;
}

void GuestSignals::unsuspend() {
  if (suspended_) mask = before_;
  suspended_ = false;
}

void GuestSignals::save(Writer& w) const {
  w.num(mask), w.num(resume_pc), w.num(before_), w.num(suspended_);
  w.num(stack.start), w.num(stack.size), w.num(stack.flags);
  w.num<uint64_t>(actions_.size());
  for (const auto& [signal, a] : actions_) w.num<int32_t>(signal), w.num(a.handler), w.num(a.flags), w.num(a.restorer), w.num(a.mask);
  w.num<uint64_t>(pending_.size());
  for (const siginfo_t& i : pending_) w.bytes(&i, sizeof i);
}

void GuestSignals::load(Reader& r) {
  mask = r.num<SignalSet>(), resume_pc = r.num<uint64_t>(), before_ = r.num<SignalSet>(), suspended_ = r.num<bool>();
  stack.start = r.num<uint64_t>(), stack.size = r.num<uint64_t>(), stack.flags = r.num<int32_t>();
  for (uint64_t n = r.count(36); n > 0 && r.ok(); n--) {
    const auto signal = r.num<int32_t>();
    SignalAction a;
    a.handler = r.num<uint64_t>(), a.flags = r.num<uint64_t>(), a.restorer = r.num<uint64_t>(), a.mask = r.num<SignalSet>();
    if (is_signal(signal)) actions_[signal] = a;
  }
  for (uint64_t n = r.count(sizeof(siginfo_t)); n > 0 && r.ok(); n--) {
    const auto bytes = r.bytes();
    siginfo_t i{};
    if (bytes.size() != sizeof i) break;
    memcpy(&i, bytes.data(), sizeof i);
    if (is_signal(i.si_signo) && pending_.size() < kMostPending) pending_.push_back(i);
  }
}

}  // namespace dmi::host
