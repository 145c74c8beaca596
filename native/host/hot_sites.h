// Rewriting hot system call sites, so that a frequent call does not pay for a signal.
//
// A `syscall` instruction is too short for a jump, but what stands before it is nearly always one instruction of exactly
// five bytes: `mov $number, %eax`, or the C library's `mov 8(%rsp), %r9`. A jump to a stub takes the place of that one:
//
//   site:  mov $39, %eax         site:  jmp stub           stub:  mov $39, %eax
//          syscall                      syscall                   lea back(%rip), %rcx
//   back:  …                     back:  …                         jmp *gate->system_call
//
// No instruction but that one changes, none changes its place, and whoever jumps to the `syscall` itself still finds it
// (and takes the slow way). Stubs lie in the thread's own memory and end in the gate's table, so both go along with a move:
// the changed page of text is the thread's private copy.
#pragma once
#include <array>
#include <cstdint>

#include "address_space.h"

namespace dmi::host {

constexpr uint64_t kStubRoom = 64 << 10;  // bytes that the loader leaves free for stubs between a program's image and its heap

// Counts dispatched calls by site. Forgets a site when another falls on its place.
class HotSites {
 public:
  // True once for a site: it has become hot.
  bool count(uint64_t pc) {
    Site& s = sites_[(pc * 0x9e3779b97f4a7c15ull) >> 58];
    if (s.pc != pc) s = {pc, 0};
    return ++s.calls == kHot;
  }

 private:
  static constexpr uint32_t kHot = 32;  // calls; what they have cost by then is about what rewriting costs
  struct Site {
    uint64_t pc = 0;
    uint32_t calls = 0;
  };
  std::array<Site, 64> sites_;
};

// Is `site` (a `syscall` instruction) preceded by an instruction that can give way? `text` is the mapped code around it.
bool can_give_way(const uint8_t* text, size_t size, size_t site);
// Rewrites the site whose `syscall` instruction ends at `pc`. The guest is at rest in that call. False: it stays as it is.
// Worker only.
bool rewrite_site(AddressSpace& space, uint64_t pc);

}  // namespace dmi::host
