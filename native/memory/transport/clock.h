// Time for deadlines and spin limits, in nanoseconds since an arbitrary start.
#pragma once
#include <time.h>

#include <cstdint>

namespace dmi::memory::transport {

inline int64_t now_ns() {
  timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * 1'000'000'000 + ts.tv_nsec;
}
// A few nanoseconds to read, a few milliseconds coarse: enough for time-outs on the sending path.
inline int64_t coarse_ns() {
  timespec ts;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
  return ts.tv_sec * 1'000'000'000 + ts.tv_nsec;
}
constexpr int64_t kMillisecond = 1'000'000;
constexpr int64_t kSecond = 1'000'000'000;

}  // namespace dmi::memory::transport
