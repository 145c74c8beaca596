// Who called whom in a guest, from the call frame information that compilers leave in every program (.eh_frame).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "address_space.h"

namespace dmi::host {

// Return addresses, innermost first, from a point where only these registers are known. Ends where the information ends, or
// makes no sense; reads nothing that is not the guest's. For reports: slow.
std::vector<uint64_t> backtrace(const AddressSpace& space, uint64_t pc, uint64_t sp, uint64_t bp);
// "  #0 culprit+0x4 (faults) at /home/me/faults.c:17\n  #1 …\n". Lines where there is debug information and addr2line.
std::string describe(const AddressSpace& space, const std::vector<uint64_t>& calls);

}  // namespace dmi::host
