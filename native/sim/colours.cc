#include "colours.h"

#include <bit>

namespace dmi::sim {

uint64_t address_spaces(const Conflicts& conflicts) {
  const auto n = static_cast<uint32_t>(conflicts.size());
  std::vector<uint32_t> space(n);
  std::vector<uint32_t> met(n + 1, UINT32_MAX);  // met[s] == p: space s holds somebody that process p conflicts with
  uint32_t used = 0;
  for (uint32_t p = 0; p < n; p++) {
    const uint64_t* row = conflicts.before(p);
    for (uint32_t w = 0; w <= p / 64; w++)
      for (uint64_t bits = row[w]; bits; bits &= bits - 1) met[space[w * 64 + static_cast<uint32_t>(std::countr_zero(bits))]] = p;
    uint32_t s = 0;
    while (met[s] == p) s++;
    space[p] = s;
    if (s + 1 > used) used = s + 1;
  }
  return used;
}

uint64_t pairs(const Conflicts& conflicts) {
  uint64_t count = 0;
  for (uint32_t p = 0; p < conflicts.size(); p++)
    for (uint32_t w = 0; w <= p / 64; w++) count += static_cast<uint64_t>(std::popcount(conflicts.before(p)[w]));
  return count;
}

}  // namespace dmi::sim
