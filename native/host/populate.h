// Makes the pages of a large range ready while its bytes come in: touching fresh memory costs more than receiving into it.
// Works from the range's end towards what comes in, so that both share the work, whichever is faster.
// Which size the pages should have is measured as it goes (huge_pages.h).
#pragma once
#include <atomic>
#include <cstdint>
#include <thread>

namespace dmi::host {

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
