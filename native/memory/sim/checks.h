// The part of checks.cc that can be looked at alone.
#pragma once
#include <cstdint>
#include <vector>

namespace dmi::memory::sim {

// Two looks at a queue that is served first come, first served: who of `before` still waits although somebody behind it has
// gone (or stands elsewhere); 0 if nobody.
uint64_t overtaken(const std::vector<uint64_t>& before, const std::vector<uint64_t>& now);

}  // namespace dmi::memory::sim
