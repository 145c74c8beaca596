// Random-address: where a thread's memory goes, so that threads made on different machines seldom want the same place.
//
// Source: Hara, Nakajima, Taura, IPSJ Transactions on Programming 4(1):27-65, 2011. A new region starts at a random
// multiple of `align` (its predicted size rounded up to a power of two); more memory extends next to what the thread has
// if that is free, and only otherwise goes to another random place.
//
// Regions that begin in one host begin near each other, sixteen at a time: so they share the upper levels of the page table. Each has
// room behind it to double. Where the sixteen are is random, and pairs of threads that want the same place are as many as if each drew for
// itself (docs/random-address.md).
#pragma once
#include <cstdint>

namespace dmi::host {

struct Zone {
  uint64_t low = 0;   // inclusive
  uint64_t high = 0;  // exclusive
};

// Reserves [base, base+size) (PROT_NONE, not counted by overcommit). Any thread. 0, or an errno value: EEXIST is a
// collision.
int reserve_at(uint64_t base, uint64_t size);
// Reserves `size` bytes at a random multiple of `align` in the zone. Throws Error("no-address") when 1,000 draws in a row
// were taken. Any thread.
uint64_t reserve_random(const Zone& zone, uint64_t size, uint64_t align);
// The same, near the last ones where there is room; in a zone of few places it is drawn like any other.
uint64_t reserve_near(const Zone& zone, uint64_t size, uint64_t align);
uint64_t round_up_power_of_two(uint64_t v);

}  // namespace dmi::host
