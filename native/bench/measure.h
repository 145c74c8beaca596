// What the baseline programs share: a clock, order statistics, and results as JSON lines on stdout.
#pragma once
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace dmi::bench {

inline int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000'000ll + t.tv_nsec;
}

inline double median(std::vector<double> samples) {
  if (samples.empty()) return 0;
  auto middle = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
  std::nth_element(samples.begin(), middle, samples.end());
  return *middle;
}

// Median cost in ns of one call of `body`, which is run in batches so that the clock's own cost does not show.
template <typename Body>
double time_batched(int batches, int per_batch, Body body) {
  std::vector<double> samples;
  for (int b = 0; b < batches; b++) {
    int64_t start = now_ns();
    for (int i = 0; i < per_batch; i++) body();
    samples.push_back(static_cast<double>(now_ns() - start) / per_batch);
  }
  return median(std::move(samples));
}

// Median cost in ns of one call of `body`, timed one by one.
template <typename Body>
double time_each(int samples, Body body) {
  std::vector<double> times;
  for (int i = 0; i < samples; i++) {
    int64_t start = now_ns();
    body();
    times.push_back(static_cast<double>(now_ns() - start));
  }
  return median(std::move(times));
}

inline void report(const char* name, double value, const char* unit) {
  std::printf("{\"name\":\"%s\",\"value\":%.6g,\"unit\":\"%s\"}\n", name, value, unit);
  std::fflush(stdout);
}

}  // namespace dmi::bench
