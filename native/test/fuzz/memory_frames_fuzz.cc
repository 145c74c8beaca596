// Real frames between three members, spoilt on the way as the input says: memory_frames.h.
#include "memory_frames.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  dmi::memory::sim::run_hostile(std::span(data, size));
  return 0;
}
