// A mutex that spins for about a microsecond before it sleeps: for sections of tens of nanoseconds that two workers
// may meet in, where std::mutex would go to the kernel at once.
#pragma once
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

namespace dmi::memory::transport {

// Sleeps while `word` holds `expected`, at most `timeout_ns` (< 0: for ever). May return early.
inline void futex_wait(std::atomic<uint32_t>& word, uint32_t expected, int64_t timeout_ns = -1) {
  timespec ts{timeout_ns / 1'000'000'000, timeout_ns % 1'000'000'000};
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT_PRIVATE, expected, timeout_ns < 0 ? nullptr : &ts,
          nullptr, 0);
}
inline void futex_wake(std::atomic<uint32_t>& word, int count = 1) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
}
inline void cpu_relax() { __builtin_ia32_pause(); }

class SpinMutex {
 public:
  void lock() {
    uint32_t seen = kFree;
    if (state_.compare_exchange_strong(seen, kHeld, std::memory_order_acquire)) return;
    lock_slow();
  }
  bool try_lock() {
    uint32_t seen = kFree;
    return state_.compare_exchange_strong(seen, kHeld, std::memory_order_acquire);
  }
  void unlock() {
    if (state_.exchange(kFree, std::memory_order_release) == kContended) futex_wake(state_);
  }

 private:
  // kContended: held, and somebody may sleep.
  static constexpr uint32_t kFree = 0, kHeld = 1, kContended = 2;
  void lock_slow() {
    for (int i = 0; i < 60; i++) {
      cpu_relax();
      uint32_t seen = state_.load(std::memory_order_relaxed);
      if (seen == kFree && state_.compare_exchange_weak(seen, kHeld, std::memory_order_acquire)) return;
    }
    while (state_.exchange(kContended, std::memory_order_acquire) != kFree) futex_wait(state_, kContended);
  }
  std::atomic<uint32_t> state_{kFree};
};

}  // namespace dmi::memory::transport
