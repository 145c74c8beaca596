// Signals: what a thread says of them, and those that it sends itself. Frames and handlers are signal_frames.h.
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <atomic>

#include "host.h"
#include "platform.h"
#include "signal_frames.h"
#include "syscalls.h"

namespace dmi::host {
namespace {

constexpr long kSetSize = sizeof(SignalSet);

template <class T>
T get(const Call& c, int arg) {
  T v;
  memcpy(&v, c.ptr<void*>(arg), sizeof v);
  return v;
}

// Nobody else can send a thread a signal, so this wait has no end. It is how some programs wait to be ended.
Next wait_for_ever(Call& c) {
  static std::atomic<bool> told{false};
  if (!told.exchange(true))
    Host::get().control().log(40, "thread " + c.guest.name() + " waits for a signal that only itself could have sent: it sleeps until the job ends");
  return Host::get().scheduler().sleep(c.guest, kForever, -EINTR);
}

Next send(Call& c, siginfo_t& info, int signal) {
  info.si_signo = signal;
  if (!c.guest.signals.raise(info)) return give(c, -EAGAIN);
  c.result = 0;
  return take_signals(c);
}

}  // namespace

Next call_sigaction(Call& c) {
  GuestSignals& s = c.guest.signals;
  if (c.a[3] != kSetSize) return give(c, -EINVAL);
  if ((c.a[1] && !readable(c, 1, sizeof(SignalAction))) || (c.a[2] && !writable(c, 2, sizeof(SignalAction)))) return give(c, -EFAULT);
  const int signal = static_cast<int>(c.a[0]);
  if (!is_signal(signal) || (c.a[1] && (kNeverBlocked & bit(signal)))) return give(c, -EINVAL);
  const SignalAction before = s.action(signal);
  if (c.a[1]) s.set_action(signal, get<SignalAction>(c, 1));
  if (c.a[2]) memcpy(c.ptr<void*>(2), &before, sizeof before);
  return give(c, 0);
}

Next call_sigmask(Call& c) {
  GuestSignals& s = c.guest.signals;
  if (c.a[3] != kSetSize) return give(c, -EINVAL);
  if ((c.a[1] && !readable(c, 1, kSetSize)) || (c.a[2] && !writable(c, 2, kSetSize))) return give(c, -EFAULT);
  const SignalSet before = s.mask;
  if (c.a[1]) {
    const auto set = get<SignalSet>(c, 1) & ~kNeverBlocked;
    switch (c.a[0]) {
      case SIG_BLOCK: s.mask |= set; break;
      case SIG_UNBLOCK: s.mask &= ~set; break;
      case SIG_SETMASK: s.mask = set; break;
      default: return give(c, -EINVAL);
    }
  }
  if (c.a[2]) memcpy(c.ptr<void*>(2), &before, sizeof before);
  c.result = 0;
  return take_signals(c);
}

Next call_sigaltstack(Call& c) {
  GuestSignals& s = c.guest.signals;
  if ((c.a[0] && !readable(c, 0, sizeof(stack_t))) || (c.a[1] && !writable(c, 1, sizeof(stack_t)))) return give(c, -EFAULT);
  const SignalStack before = s.stack_at(c.at.sp);
  int error = 0;
  if (c.a[0]) {
    const auto wanted = get<stack_t>(c, 0);
    error = s.set_stack({reinterpret_cast<uint64_t>(wanted.ss_sp), wanted.ss_flags, wanted.ss_size}, c.at.sp, least_signal_stack());
  }
  if (c.a[1] && !error) {
    stack_t old{};
    old.ss_sp = reinterpret_cast<void*>(before.start), old.ss_flags = before.flags, old.ss_size = before.size;
    memcpy(c.ptr<void*>(1), &old, sizeof old);
  }
  return give(c, -error);
}

Next call_sigpending(Call& c) {
  if (c.a[1] < 0 || c.a[1] > kSetSize) return give(c, -EINVAL);
  if (!writable(c, 0, static_cast<size_t>(c.a[1]))) return give(c, -EFAULT);
  const SignalSet blocked = c.guest.signals.pending() & c.guest.signals.mask;
  memcpy(c.ptr<void*>(0), &blocked, static_cast<size_t>(c.a[1]));
  return give(c, 0);
}

Next call_sigsuspend(Call& c) {
  if (c.a[1] != kSetSize) return give(c, -EINVAL);
  if (!readable(c, 0, kSetSize)) return give(c, -EFAULT);
  c.guest.signals.suspend(get<SignalSet>(c, 0));
  if (!c.guest.signals.next()) return wait_for_ever(c);
  c.result = -EINTR;
  return take_signals(c);
}

Next call_pause(Call& c) { return wait_for_ever(c); }

Next call_sigtimedwait(Call& c) {
  if (c.a[3] != kSetSize) return give(c, -EINVAL);
  if (!readable(c, 0, kSetSize) || (c.a[1] && !writable(c, 1, sizeof(siginfo_t))) || (c.a[2] && !readable(c, 2, sizeof(timespec)))) return give(c, -EFAULT);
  GuestSignals& s = c.guest.signals;
  if (const int signal = s.first(get<SignalSet>(c, 0) & ~kNeverBlocked)) {
    const siginfo_t info = s.take(signal);
    if (c.a[1]) memcpy(c.ptr<void*>(1), &info, sizeof info);
    return give(c, signal);
  }
  if (!c.a[2]) return wait_for_ever(c);
  const auto t = get<timespec>(c, 2);
  if (t.tv_sec < 0 || t.tv_nsec < 0 || t.tv_nsec > 999'999'999) return give(c, -EINVAL);
  if (t.tv_sec == 0 && t.tv_nsec == 0) return give(c, -EAGAIN);
  const int64_t most = INT64_MAX / 4;
  const int64_t ns = t.tv_sec >= most / 1'000'000'000 ? most : t.tv_sec * 1'000'000'000 + t.tv_nsec;
  return Host::get().scheduler().sleep(c.guest, monotonic_ns() + ns, -EAGAIN);
}

Next call_kill(Call& c) {
  const long self = c.guest.process_id();
  const int target = static_cast<int>(c.a[0]), thread = static_cast<int>(c.nr == SYS_tgkill ? c.a[1] : c.a[0]);
  const int signal = static_cast<int>(c.nr == SYS_tgkill ? c.a[2] : c.a[1]);
  if (c.nr != SYS_kill && (target <= 0 || thread <= 0)) return give(c, -EINVAL);
  const bool group = c.nr == SYS_kill && (target == 0 || target == -self);  // which it has for itself
  if (!group && (target != self || thread != self)) return give(c, -ESRCH);
  if (signal == 0) return give(c, 0);
  if (!is_signal(signal)) return give(c, -EINVAL);
  siginfo_t info{};
  info.si_code = c.nr == SYS_kill ? SI_USER : SI_TKILL;
  info.si_pid = static_cast<pid_t>(self);
  info.si_uid = getuid();
  return send(c, info, signal);
}

Next call_sigqueue(Call& c) {
  const bool thread = c.nr == SYS_rt_tgsigqueueinfo;
  const int at = thread ? 3 : 2, signal = static_cast<int>(c.a[at - 1]);
  if (!readable(c, at, sizeof(siginfo_t))) return give(c, -EFAULT);
  const long self = c.guest.process_id();
  if (c.a[0] != self || (thread && c.a[1] != self)) return give(c, -ESRCH);
  if (signal == 0) return give(c, 0);
  if (!is_signal(signal)) return give(c, -EINVAL);
  auto info = get<siginfo_t>(c, at);
  return send(c, info, signal);
}

}  // namespace dmi::host
