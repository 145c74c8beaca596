// Who called whom in a guest, from the call frame information that compilers leave in every program (.eh_frame).
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "address_space.h"

namespace dmi::host {

// A part of a guest's stack as it was at one moment.
struct StackCopy {
  uint64_t start = 0;  // where it was
  std::vector<std::byte> bytes;
  bool read(uint64_t at, void* to, size_t size) const {
    if (at < start || at - start > bytes.size() || size > bytes.size() - (at - start)) return false;
    memcpy(to, bytes.data() + (at - start), size);
    return true;
  }
};

// A place in a program. `exact`: the instruction that was to come next there, not one behind a call.
struct Place {
  uint64_t pc = 0;
  bool exact = false;
};

// Return addresses, innermost first, from a point where only these registers are known. Ends where the information ends, or
// makes no sense; goes on behind a signal's handler where that interrupted the guest; reads nothing that is not the guest's. From `stack`
// alone, if given. For reports: slow.
std::vector<Place> backtrace(const AddressSpace& space, uint64_t pc, uint64_t sp, uint64_t bp, const StackCopy* stack = nullptr);
// "  #0 culprit+0x4 (faults) at /home/me/faults.c:17\n  #1 …\n". Lines where there is debug information and addr2line.
std::string describe(const AddressSpace& space, const std::vector<Place>& calls);

}  // namespace dmi::host
