// The address map that every host of every job has, and what it rests on.
//
//   0x0000_0040_0000   host image (static, non-PIE: the same in every process) and its brk heap
//   0x0001_0000_0000   the gate page (gate/gate.h), and behind it the guests' vDSO
//   0x0100_0000_0000   thread zone: thread regions and nothing else, at random addresses
//   0x6fff_ffff_ffff   its end (inclusive)
//   above              process zone: what the kernel gives the host: malloc, stacks, page frames, vDSO
//
// Thread memory and process memory never overlap, so a move into a fresh host always finds its addresses free.
#pragma once
#include <cstdint>

namespace dmi::host {
constexpr uint64_t kZoneLow = 0x010000000000;
constexpr uint64_t kZoneHigh = 0x700000000000;  // exclusive
constexpr bool in_zone(uint64_t a) { return a >= kZoneLow && a < kZoneHigh; }
}  // namespace dmi::host
