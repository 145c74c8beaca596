// The engine's decoder and handlers under libFuzzer. Built only with clang:
//   CC=clang CXX=clang++ cmake -S native -B /somewhere -G Ninja -DDMI_SANITIZE=address,undefined
//   cmake --build /somewhere --target memory_frames_fuzz
//   mkdir corpus; ASAN_OPTIONS=allocator_may_return_null=1 /somewhere/test/memory_frames_fuzz corpus -max_total_time=60
#include "memory_frames.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  dmi::memory::sim::run_hostile(std::span(data, size));
  return 0;
}
