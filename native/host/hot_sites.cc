#include "hot_sites.h"

#include <string.h>
#include <sys/mman.h>

#include "../gate/gate.h"
#include "instruction.h"
#include "platform.h"

namespace dmi::host {
namespace {

constexpr uint64_t kSlot = 64;  // bytes of a stub
constexpr size_t kGivesWay = 5;
constexpr size_t kFar = 64;     // bytes before a site from where instructions are followed to it
constexpr char kMark[16] = "dmi stub page 1";

uint8_t* bytes(uint64_t a) { return reinterpret_cast<uint8_t*>(a); }

bool near(uint64_t a, uint64_t b) { return (a > b ? a - b : b - a) < (1ull << 31) - kPage; }

// Writes into what the guest may only read and execute. Over the whole area, so that it stays one mapping.
bool poke(const AddressSpace& space, uint64_t at, const void* data, size_t size) {
  uint64_t start = 0;
  const Area* a = space.find(at, &start);
  if (!a || at + size > a->end) return false;
  if (mprotect(bytes(start), a->end - start, PROT_READ | PROT_WRITE | (a->prot & PROT_EXEC)) != 0) return false;
  memcpy(bytes(at), data, size);
  mprotect(bytes(start), a->end - start, a->prot);
  return true;
}

bool is_stub_page(const AddressSpace& space, uint64_t page) {
  const Area* a = space.find(page);
  return a && !a->file && a->prot == (PROT_READ | PROT_EXEC) && memcmp(bytes(page), kMark, sizeof kMark) == 0;
}

bool make_stub_page(AddressSpace& space, uint64_t page) {
  if (space.map(page, kPage, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0, nullptr) != static_cast<int64_t>(page) ||
      !poke(space, page, kMark, sizeof kMark))
    return false;
  space.keep(page, kPage);
  return true;
}

// A free slot that `site` can reach; 0: none. Which slots are taken is read from the page itself, which may have moved here.
uint64_t find_slot(AddressSpace& space, uint64_t site) {
  for (uint64_t page = space.brk_start() - kStubRoom; page < space.brk_start(); page += kPage) {
    if (!near(page, site)) return 0;
    if (!space.find(page) && !make_stub_page(space, page)) return 0;
    if (!is_stub_page(space, page)) continue;
    for (uint64_t slot = page + kSlot; slot < page + kPage; slot += kSlot)
      if (*bytes(slot) == 0) return slot;
  }
  return 0;
}

}  // namespace

bool can_give_way(const uint8_t* text, size_t size, size_t site) {
  if (site < kFar || site + 2 > size || text[site] != 0x0f || text[site + 1] != 0x05) return false;
  const uint8_t* before = text + site - kGivesWay;
  static constexpr uint8_t kSixthArgument[] = {0x4c, 0x8b, 0x4c, 0x24, 0x08};  // mov 8(%rsp), %r9
  if (before[0] != 0xb8 && memcmp(before, kSixthArgument, sizeof kSixthArgument) != 0) return false;
  // Those bytes may be the end of a longer instruction. Instructions are at most 15 bytes long, so one of 16 places in a row
  // begins one; followed from there they tell. All places that lead to the site must agree.
  int agree = 0;
  for (size_t start = site - kFar; start < site - kFar + 16; start++) {
    bool seen = false;
    size_t at = start;
    while (at < site) {
      seen = seen || at == site - kGivesWay;
      const int n = instruction_length(text + at, size - at);
      if (n == 0) break;
      at += static_cast<size_t>(n);
    }
    if (at != site) continue;
    if (!seen) return false;
    agree++;
  }
  return agree > 0;
}

bool rewrite_site(AddressSpace& space, uint64_t pc) {
  const uint64_t site = pc - 2, from = site - kGivesWay;
  uint64_t start = 0;
  const Area* area = space.find(site, &start);
  // Only code that comes from a file: what a program generates it may also generate anew.
  if (!area || !area->file || area->prot != (PROT_READ | PROT_EXEC) || area->end < pc) return false;
  if (!can_give_way(bytes(start), area->end - start, site - start)) return false;
  const uint64_t slot = find_slot(space, site);
  if (slot == 0) return false;
  uint8_t stub[] = {0, 0, 0, 0, 0,                                   // what gives way
                    0x48, 0x8d, 0x0d, 0, 0, 0, 0,                    // lea back(%rip), %rcx
                    0x49, 0xbb, 0, 0, 0, 0, 0, 0, 0, 0,              // movabs $&gate->system_call, %r11
                    0x41, 0xff, 0x23};                               // jmp *(%r11)
  memcpy(stub, bytes(from), kGivesWay);
  const auto back = static_cast<int32_t>(pc - (slot + 12));
  memcpy(stub + 8, &back, 4);
  const uint64_t entry = DMI_GATE_ADDRESS + 48;
  memcpy(stub + 14, &entry, 8);
  if (!poke(space, slot, stub, sizeof stub)) return false;
  uint8_t jump[kGivesWay] = {0xe9};
  const auto there = static_cast<int32_t>(slot - site);
  memcpy(jump + 1, &there, 4);
  return poke(space, from, jump, sizeof jump);
}

}  // namespace dmi::host
