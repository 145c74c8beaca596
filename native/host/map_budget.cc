#include "map_budget.h"

#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <fstream>

namespace dmi::host {
namespace {

constexpr size_t kOwn = 500;           // of the host itself, generously
constexpr size_t kRoomInPercent = 4;   // for what threads map while they run
constexpr size_t kCountEvery = 64;     // threads started between two countings close to the limit; one takes tens of ms there

size_t count_mappings() {
  std::ifstream maps("/proc/self/maps");
  return static_cast<size_t>(std::count(std::istreambuf_iterator<char>(maps), {}, '\n'));
}

}  // namespace

void MapBudget::measure(size_t threads) {
  used_ = count_mappings();
  threads_ = threads;
}

std::string MapBudget::refusal(size_t threads) {
  std::lock_guard hold(mutex_);
  if (!begun_) {
    begun_ = true;
    std::ifstream("/proc/sys/vm/max_map_count") >> limit_;
  }
  if (limit_ == 0) return {};
  const size_t usable = limit_ - limit_ * kRoomInPercent / 100;
  const auto expected = [&] {
    const size_t each = threads_ == 0 ? 50 : std::max<size_t>(1, (used_ - std::min(used_, kOwn)) / threads_);
    return threads < threads_ ? used_ : used_ + (threads + 1 - threads_) * each;
  };
  // Counted whenever the threads have doubled, and close to the limit more often.
  if (threads >= 2 * threads_ + 16 || (expected() > usable && threads != threads_) || (expected() > usable / 2 && threads >= threads_ + kCountEvery))
    measure(threads);
  if (expected() <= usable) return {};
  return "its " + std::to_string(threads) + " threads take " + std::to_string(used_) + " of the " + std::to_string(limit_) +
         " mappings that the kernel allows a process; raise it on that machine (sysctl -w vm.max_map_count=" + std::to_string(limit_ * 4) +
         "), link the program with -static-pie, which takes a quarter, or use more nodes";
}

}  // namespace dmi::host
