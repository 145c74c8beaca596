// A lock for sections of a few dozen instructions. Workers never hold one across a switch; a preemption signal that
// arrives meanwhile finds host code running and leaves it alone.
#pragma once
#include <sched.h>

#include <atomic>

namespace dmi::host {

class SpinLock {
 public:
  void lock() noexcept {
    for (int n = 0; flag_.exchange(true, std::memory_order_acquire);) {
      while (flag_.load(std::memory_order_relaxed))
        if (++n > 200) sched_yield();  // the holder may have lost its core
        else __builtin_ia32_pause();
    }
  }
  bool try_lock() noexcept { return !flag_.exchange(true, std::memory_order_acquire); }
  void unlock() noexcept { flag_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> flag_{false};
};

}  // namespace dmi::host
