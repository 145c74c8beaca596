// The operating system behind one header: raw system calls, kernel constants missing from older headers, FS/GS bases.
#pragma once
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_OFF 0
#define PR_SYS_DISPATCH_ON 1
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

namespace dmi::host {

constexpr uint64_t kPage = 4096;
constexpr uint64_t page_down(uint64_t a) { return a & ~(kPage - 1); }
constexpr uint64_t page_up(uint64_t a) { return (a + kPage - 1) & ~(kPage - 1); }

inline uint64_t read_fs() {
  uint64_t v;
  asm volatile("rdfsbase %0" : "=r"(v));
  return v;
}
inline uint64_t read_gs() {
  uint64_t v;
  asm volatile("rdgsbase %0" : "=r"(v));
  return v;
}
inline void write_fs(uint64_t v) { asm volatile("wrfsbase %0" ::"r"(v)); }
inline void write_gs(uint64_t v) { asm volatile("wrgsbase %0" ::"r"(v)); }

// A system call without errno: any thread, any stack, any FS base.
inline long raw_syscall(long nr, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
  long r;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  asm volatile("syscall" : "=a"(r) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return r;
}

inline int64_t monotonic_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}
constexpr int64_t kForever = INT64_MAX / 2;  // a time that does not come, ns
// Ticks of the time-stamp counter per second, measured since the first call: call it once early.
inline double ticks_per_second() {
  static const int64_t ns0 = monotonic_ns();
  static const uint64_t ticks0 = __builtin_ia32_rdtsc();
  const int64_t ns = monotonic_ns() - ns0;
  return ns < 1'000'000 ? 2e9 : static_cast<double>(__builtin_ia32_rdtsc() - ticks0) * 1e9 / static_cast<double>(ns);
}
inline double monotonic_seconds() { return static_cast<double>(monotonic_ns()) * 1e-9; }

}  // namespace dmi::host
