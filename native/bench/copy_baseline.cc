// What the memory itself gives one thread: copies of the sizes the memory suite reads, and an atomic add.
#include <atomic>
#include <cstring>
#include <vector>

#include "measure.h"

namespace {
using namespace dmi::bench;

// Behind a call and with a size the compiler cannot see, as a runtime's copy has to be.
__attribute__((noinline)) void copy(char* to, const char* from, size_t size) {
  std::memcpy(to, from, size);
  asm volatile("" ::: "memory");
}
}  // namespace

int main() {
  std::vector<char> from(64 << 20, 1), to(64 << 20, 2);
  volatile size_t sizes[] = {8, 4096, 1 << 20, 64 << 20};
  report("memcpy-8B", time_batched(50, 100'000, [&] { copy(to.data(), from.data(), sizes[0]); }), "ns");
  report("memcpy-4KiB", time_batched(50, 10'000, [&] { copy(to.data(), from.data(), sizes[1]); }), "ns");
  report("memcpy-1MiB", (1 << 20) * 1e9 / time_batched(20, 100, [&] { copy(to.data(), from.data(), sizes[2]); }), "B/s");
  report("memcpy-64MiB", (64 << 20) * 1e9 / time_batched(9, 2, [&] { copy(to.data(), from.data(), sizes[3]); }), "B/s");
  std::atomic<int64_t> counter{0};
  report("atomic-add", time_batched(50, 100'000, [&] { counter.fetch_add(1); }), "ns");
}
