// Identity, time, sleeping, and the end of a program.
#include <asm/prctl.h>
#include <errno.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>

#include <atomic>

#include "host.h"
#include "platform.h"
#include "syscalls.h"

namespace dmi::host {
namespace {

Next sleep_until(Call& c, int64_t deadline, long result) {
  c.guest.context.result = result;
  return Host::get().scheduler().sleep(c.guest, deadline, result);
}

int64_t duration(const timespec* t) {
  if (t->tv_sec > kForever / 1'000'000'000) return kForever;
  return t->tv_sec * 1'000'000'000ll + t->tv_nsec;
}

bool mine(const Call& c, const void* p, size_t size, int prot = PROT_WRITE) { return c.guest.space.allows(reinterpret_cast<uint64_t>(p), size, prot); }

}  // namespace

Next call_zero(Call& c) { return give(c, 0); }
Next call_nosys(Call& c) { return give(c, -ENOSYS); }

Next call_identity(Call& c) {
  // A number that is the thread's own and stays the same wherever it runs.
  if (c.nr == SYS_getppid) return give(c, 1);
  if (c.nr == SYS_set_tid_address) c.guest.process_id_at = static_cast<uint64_t>(c.a[0]);
  return give(c, c.guest.process_id());
}

Next call_exit(Call& c) { return Host::get().finish(c.worker, c.guest, static_cast<int>(c.a[0] & 0xff)); }

Next call_arch_prctl(Call& c) {
  auto* frame = reinterpret_cast<SwitchFrame*>(c.guest.context.sp);
  if (c.a[0] == ARCH_SET_FS) {
    frame->fs = static_cast<uint64_t>(c.a[1]);
    return give(c, 0);
  }
  if (c.a[0] == ARCH_GET_FS) {
    if (!mine(c, c.ptr<void*>(1), 8)) return give(c, -EFAULT);
    *c.ptr<uint64_t*>(1) = frame->fs;
    return give(c, 0);
  }
  return give(c, -EINVAL);
}

Next call_prctl(Call& c) {
  switch (c.a[0]) {
    case PR_SET_NAME:
    case PR_SET_PDEATHSIG:
    case PR_SET_DUMPABLE:
    case PR_SET_VMA: return give(c, 0);
    case PR_GET_NAME: return pass(c);
    default: return give(c, -EINVAL);
  }
}

Next call_affinity(Call& c) {
  // One processor: a thread is a single-threaded program, and libraries that count processors should know.
  if (c.a[1] < 8) return give(c, -EINVAL);
  if (!mine(c, c.ptr<void*>(2), 8)) return give(c, -EFAULT);
  *c.ptr<uint64_t*>(2) = 1;
  return give(c, 8);
}

// Timers that would signal: none can be set, so taking one back is no error.
Next call_alarm(Call& c) { return c.a[0] == 0 ? give(c, 0) : call_refuse(c); }

Next call_setitimer(Call& c) {
  itimerval t{};
  if (!c.a[1] || !mine(c, c.ptr<void*>(1), sizeof t)) return give(c, -EFAULT);
  memcpy(&t, c.ptr<void*>(1), sizeof t);
  if (t.it_value.tv_sec || t.it_value.tv_usec) return call_refuse(c);
  if (c.a[2]) {
    if (!mine(c, c.ptr<void*>(2), sizeof t)) return give(c, -EFAULT);
    memset(c.ptr<void*>(2), 0, sizeof t);
  }
  return give(c, 0);
}

Next call_nanosleep(Call& c) {
  const auto* t = c.ptr<const timespec*>(0);
  if (!mine(c, t, sizeof *t, PROT_READ)) return give(c, -EFAULT);
  if (t->tv_nsec < 0 || t->tv_nsec > 999'999'999 || t->tv_sec < 0) return give(c, -EINVAL);
  return sleep_until(c, monotonic_ns() + duration(t), 0);
}

Next call_clock_nanosleep(Call& c) {
  const auto* t = c.ptr<const timespec*>(2);
  if (!mine(c, t, sizeof *t, PROT_READ)) return give(c, -EFAULT);
  if (t->tv_nsec < 0 || t->tv_nsec > 999'999'999 || t->tv_sec < 0) return give(c, -EINVAL);
  if (!(c.a[1] & TIMER_ABSTIME)) return sleep_until(c, monotonic_ns() + duration(t), 0);
  timespec now;
  if (clock_gettime(static_cast<clockid_t>(c.a[0]), &now) != 0) return give(c, -EINVAL);
  const int64_t left = duration(t) - duration(&now);
  return left <= 0 ? give(c, 0) : sleep_until(c, monotonic_ns() + left, 0);
}

Next call_yield(Call& c) {
  c.result = 0;
  return Next::Yield;
}

Next call_futex(Call& c) {
  // A guest is single-threaded: a wait that would block can only end by its timeout, or by another thread of this host
  // that shares the word; it looks again every millisecond.
  auto* word = c.ptr<std::atomic<uint32_t>*>(0);
  const int op = static_cast<int>(c.a[1]) & FUTEX_CMD_MASK;
  if (op == FUTEX_WAKE || op == FUTEX_WAKE_BITSET || op == FUTEX_REQUEUE || op == FUTEX_CMP_REQUEUE) return give(c, 0);
  if (op != FUTEX_WAIT && op != FUTEX_WAIT_BITSET) return give(c, -ENOSYS);
  if (!mine(c, word, 4, PROT_READ)) return give(c, -EFAULT);
  if (word->load() != static_cast<uint32_t>(c.a[2])) return give(c, -EAGAIN);
  const auto* t = c.ptr<const timespec*>(3);
  if (t && mine(c, t, sizeof *t, PROT_READ) && op == FUTEX_WAIT) {
    const int64_t d = duration(t);
    if (d <= 1'000'000) return sleep_until(c, monotonic_ns() + d, -ETIMEDOUT);
  }
  return sleep_until(c, monotonic_ns() + 1'000'000, 0);
}

Next call_rlimit(Call& c) {
  const bool both = c.nr == SYS_prlimit64;
  const int what = static_cast<int>(both ? c.a[1] : c.a[0]);
  auto* to = c.ptr<rlimit*>(both ? 3 : 1);
  if (!to) return give(c, 0);
  if (!mine(c, to, sizeof *to)) return give(c, -EFAULT);
  if (what == RLIMIT_STACK) {
    to->rlim_cur = to->rlim_max = c.guest.space.stack_high() - c.guest.space.stack_low();
    return give(c, 0);
  }
  return give(c, getrlimit(static_cast<__rlimit_resource>(what), to) ? -errno : 0);
}

}  // namespace dmi::host
