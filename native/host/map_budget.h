// How many mappings the kernel allows this process (vm.max_map_count), and whether one more thread fits. A dynamic program takes
// some 40 a thread, and in want of one its loader dies of whatever it was about to do; so it is better not to begin.
#pragma once
#include <cstddef>
#include <mutex>
#include <string>

namespace dmi::host {

class MapBudget {
 public:
  // threads: that live here now. Empty: one more fits; otherwise why not, and what to do.
  std::string refusal(size_t threads);

 private:
  void measure(size_t threads);
  std::mutex mutex_;
  size_t limit_ = 0;        // 0: not known, everything fits
  size_t used_ = 0;         // mappings when they were last counted
  size_t threads_ = 0;      // threads then
  bool begun_ = false;
};

}  // namespace dmi::host
