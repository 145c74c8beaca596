// How long an x86-64 instruction is. Pure: reads bytes, knows nothing of what they do.
#pragma once
#include <cstddef>
#include <cstdint>

namespace dmi::host {
// Bytes of the instruction at `code`, of which `room` bytes may be read; 0: it is none, or does not end in them.
// Source: Intel SDM volume 2, appendix A (opcode maps) and chapter 2 (formats).
int instruction_length(const uint8_t* code, size_t room);
}  // namespace dmi::host
