// Makes the pages of a large range ready while its bytes come in: touching fresh memory costs more than receiving into it.
// Works from the range's end towards what comes in, so that both share the work, whichever is faster.
//
// Huge pages (2 MiB) take a third of the time of small ones where the machine has them at hand. On a virtual machine whose
// free memory went back to its owner they take twice as long. Which it is, is measured as it goes.
#pragma once
#include <atomic>
#include <cstdint>
#include <thread>

namespace dmi::host {

// Which page size to use for the next step, from what the steps so far took. Pure.
class PageSizeChoice {
 public:
  bool huge() const;                          // for the next step
  void took(uint64_t bytes, double seconds);  // the step that huge() was asked for

 private:
  static constexpr int kProbeEvery = 100;  // steps between two looks at the slower one
  bool better_huge() const { return cost_[1] <= cost_[0]; }
  double cost_[2] = {};  // seconds per byte, of the last step with small and with huge pages
  int steps_ = 0;
};

// Populates [start, start + size), which is mapped readable and writable, in a thread of its own, from its end down to the
// address that has been reached by other means, until it is destroyed.
class Populator {
 public:
  Populator(uint64_t start, uint64_t size);
  ~Populator();
  Populator(const Populator&) = delete;
  Populator& operator=(const Populator&) = delete;
  void reached(uint64_t address) { reached_ = address; }

  static constexpr uint64_t kWorthwhile = 16 << 20;  // bytes

 private:
  void run(uint64_t end);
  std::atomic<uint64_t> reached_;
  std::thread thread_;
};

}  // namespace dmi::host
