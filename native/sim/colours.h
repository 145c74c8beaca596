// From conflicts to address spaces.
#pragma once
#include "conflicts.h"

namespace dmi::sim {
// How many address spaces the processes need when each goes, in its turn, into the first where it meets nobody.
uint64_t address_spaces(const Conflicts& conflicts);
// Pairs that conflict.
uint64_t pairs(const Conflicts& conflicts);
}  // namespace dmi::sim
