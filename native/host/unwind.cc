#include "unwind.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <ucontext.h>

#include <array>
#include <optional>

#include "elf_view.h"
#include "layout.h"
#include "symbols.h"

namespace dmi::host {
namespace {

constexpr size_t kMostCalls = 16;
constexpr int kBp = 6, kSp = 7, kReturn = 16, kRegisters = 17;  // DWARF's numbers

// Bytes of a section, read with LEB128 and friends. Running out makes `bad`, and everything after it 0.
struct Bytes {
  const uint8_t* at;
  const uint8_t* end;
  bool bad = false;
  bool more() const { return !bad && at < end; }
  template <class T>
  T fixed() {
    T v{};
    if (static_cast<size_t>(end - at) < sizeof v) return bad = true, at = end, v;
    memcpy(&v, at, sizeof v);
    at += sizeof v;
    return v;
  }
  uint64_t uleb() {
    uint64_t v = 0;
    for (int shift = 0; more(); shift += 7) {
      const uint8_t b = *at++;
      if (shift < 64) v |= static_cast<uint64_t>(b & 0x7f) << shift;
      if (!(b & 0x80)) return v;
    }
    return bad = true, 0;
  }
  int64_t sleb() {
    uint64_t v = 0;
    for (int shift = 0; more();) {
      const uint8_t b = *at++;
      if (shift < 64) v |= static_cast<uint64_t>(b & 0x7f) << shift;
      shift += 7;
      if (!(b & 0x80)) return static_cast<int64_t>(shift < 64 && (b & 0x40) ? v | ~0ull << shift : v);
    }
    return bad = true, 0;
  }
  Bytes take(uint64_t n) {
    if (n > static_cast<uint64_t>(end - at)) return bad = true, at = end, Bytes{end, end, true};
    Bytes part{at, at + n};
    at += n;
    return part;
  }
  // A pointer as `encoding` has it; `address` is where these bytes are in the image.
  uint64_t pointer(uint8_t encoding, uint64_t address) {
    uint64_t v = 0;
    switch (encoding & 0x0f) {
      case 0: case 4: case 12: v = fixed<uint64_t>(); break;
      case 1: v = uleb(); break;
      case 2: v = fixed<uint16_t>(); break;
      case 3: v = fixed<uint32_t>(); break;
      case 9: v = static_cast<uint64_t>(sleb()); break;
      case 10: v = static_cast<uint64_t>(int64_t{fixed<int16_t>()}); break;
      case 11: v = static_cast<uint64_t>(int64_t{fixed<int32_t>()}); break;
      default: bad = true;
    }
    return (encoding & 0x70) == 0x10 ? v + address : v;
  }
};

struct Cie {
  uint64_t code_align = 1;
  int64_t data_align = 1;
  uint8_t encoding = 0;
  bool augmented = false;
  Bytes program{nullptr, nullptr};
};

std::optional<Cie> read_cie(Bytes b) {
  Cie c;
  const int version = b.fixed<uint8_t>();
  std::string augmentation;
  while (b.more() && *b.at) augmentation += static_cast<char>(*b.at++);
  b.fixed<uint8_t>();
  c.code_align = b.uleb();
  c.data_align = b.sleb();
  if (version == 1) b.fixed<uint8_t>();
  else b.uleb();
  if (!augmentation.empty() && augmentation[0] == 'z') {
    c.augmented = true;
    Bytes data = b.take(b.uleb());
    for (const char what : augmentation.substr(1)) {
      if (what == 'R') c.encoding = data.fixed<uint8_t>();
      else if (what == 'L') data.fixed<uint8_t>();
      else if (what == 'P') data.pointer(data.fixed<uint8_t>() & 0x0f, 0);
    }
  } else if (!augmentation.empty()) {
    return {};
  }
  c.program = b;
  return b.bad ? std::nullopt : std::optional(c);
}

// Where the caller's registers are: at an offset from the canonical frame address, unchanged, or lost.
struct Row {
  enum Kind : uint8_t { Same, AtOffset, Lost };
  struct Rule { Kind kind = Same; int64_t offset = 0; };
  int cfa_register = kSp;
  int64_t cfa_offset = 0;
  bool cfa_known = true;
  std::array<Rule, kRegisters> rules{};
};

// Runs call frame instructions until the one that holds from beyond `until` (bytes into the function).
bool run(Bytes b, const Cie& c, const Row& initial, Row& row, uint64_t until) {
  uint64_t at = 0;
  std::vector<Row> kept;
  const auto rule = [&](uint64_t reg, Row::Rule r) {
    if (reg < kRegisters) row.rules[reg] = r;
  };
  while (b.more()) {
    const uint8_t op = b.fixed<uint8_t>(), low = op & 0x3f;
    uint64_t advance = 0, reg = 0;
    switch (op & 0xc0) {
      case 0x40: advance = low; break;
      case 0x80: rule(low, {Row::AtOffset, static_cast<int64_t>(b.uleb()) * c.data_align}); continue;
      case 0xc0: rule(low, initial.rules[low % kRegisters]); continue;
      default:
        switch (low) {
          case 0x00: continue;
          case 0x02: advance = b.fixed<uint8_t>(); break;
          case 0x03: advance = b.fixed<uint16_t>(); break;
          case 0x04: advance = b.fixed<uint32_t>(); break;
          case 0x05: reg = b.uleb(), rule(reg, {Row::AtOffset, static_cast<int64_t>(b.uleb()) * c.data_align}); continue;
          case 0x06: reg = b.uleb(), rule(reg, initial.rules[reg % kRegisters]); continue;
          case 0x07: rule(b.uleb(), {Row::Lost, 0}); continue;
          case 0x08: rule(b.uleb(), {}); continue;
          case 0x09: reg = b.uleb(), b.uleb(), rule(reg, {Row::Lost, 0}); continue;
          case 0x0a: kept.push_back(row); continue;
          case 0x0b:
            if (kept.empty()) return false;
            row = kept.back(), kept.pop_back();
            continue;
          case 0x0c: row.cfa_register = static_cast<int>(b.uleb()), row.cfa_offset = static_cast<int64_t>(b.uleb()), row.cfa_known = true; continue;
          case 0x0d: row.cfa_register = static_cast<int>(b.uleb()); continue;
          case 0x0e: row.cfa_offset = static_cast<int64_t>(b.uleb()); continue;
          case 0x0f: b.take(b.uleb()), row.cfa_known = false; continue;
          case 0x10: case 0x16: reg = b.uleb(), b.take(b.uleb()), rule(reg, {Row::Lost, 0}); continue;
          case 0x11: reg = b.uleb(), rule(reg, {Row::AtOffset, b.sleb() * c.data_align}); continue;
          case 0x12: row.cfa_register = static_cast<int>(b.uleb()), row.cfa_offset = b.sleb() * c.data_align, row.cfa_known = true; continue;
          case 0x13: row.cfa_offset = b.sleb() * c.data_align; continue;
          case 0x2e: b.uleb(); continue;
          default: return false;
        }
    }
    at += advance * c.code_align;
    if (at > until) break;
  }
  return !b.bad;
}

// The row that holds at `pc` (relative to the image) in an ELF file.
std::optional<Row> find_row(const FileView& f, const Elf64_Ehdr& h, uint64_t pc) {
  const auto* sections = f.at<Elf64_Shdr>(h.e_shoff, h.e_shnum);
  const auto* names = sections && h.e_shstrndx < h.e_shnum ? &sections[h.e_shstrndx] : nullptr;
  for (int i = 0; names && i < h.e_shnum; i++) {
    const Elf64_Shdr& s = sections[i];
    const auto* base = f.at<uint8_t>(s.sh_offset, s.sh_size);
    if (s.sh_type == SHT_NOBITS || !base || f.text(names->sh_offset + s.sh_name) != ".eh_frame") continue;
    Bytes all{base, base + s.sh_size};
    while (all.more()) {
      const uint32_t length = all.fixed<uint32_t>();
      if (length == 0) continue;
      if (length == UINT32_MAX) return {};
      Bytes entry = all.take(length);
      const uint8_t* id_at = entry.at;
      const uint32_t id = entry.fixed<uint32_t>();
      if (id == 0 || entry.bad) continue;
      if (id > static_cast<uint64_t>(id_at - base)) return {};
      Bytes cie_bytes{id_at - id, base + s.sh_size};
      Bytes cie_entry = cie_bytes.take(cie_bytes.fixed<uint32_t>());
      if (cie_entry.fixed<uint32_t>() != 0) return {};
      const auto cie = read_cie(cie_entry);
      if (!cie) continue;
      const uint64_t start = entry.pointer(cie->encoding, s.sh_addr + static_cast<uint64_t>(entry.at - base));
      const uint64_t size = entry.pointer(cie->encoding & 0x0f, 0);
      if (entry.bad || pc < start || pc - start >= size) continue;
      if (cie->augmented) entry.take(entry.uleb());
      Row initial, row;
      if (!run(cie->program, *cie, initial, initial, UINT64_MAX)) return {};
      row = initial;
      if (!run(entry, *cie, initial, row, pc - start)) return {};
      return row;
    }
  }
  return {};
}

bool read_word(const AddressSpace& space, const StackCopy* stack, uint64_t at, uint64_t& v) {
  if (stack) return stack->read(at, &v, sizeof v);
  // By the kernel: what is mapped may still have no page behind it, such as the end of a file that has become shorter.
  iovec to{&v, sizeof v}, from{reinterpret_cast<void*>(at), sizeof v};
  return space.allows(at, sizeof v, PROT_READ) && process_vm_readv(getpid(), &to, 1, &from, 1, 0) == sizeof v;
}

bool return_from_top(const AddressSpace& space, const StackCopy* stack, std::array<uint64_t, kRegisters>& r) {
  if (!read_word(space, stack, r[kSp], r[kReturn])) return false;
  r[kSp] += 8;
  return space.find(r[kReturn] - 1) != nullptr;
}

bool is_code(const AddressSpace& space, uint64_t at) {
  const Area* a = space.find(at);
  return a && (a->prot & PROT_EXEC);
}

// From the host's own code, in one of the gate's fast entries, which are called on the guest's stack and take little of it: up to the
// first word that is an address in the guest's code. What the caller had in its frame pointer is there or among those words.
bool return_from_host(const AddressSpace& space, const StackCopy* stack, std::array<uint64_t, kRegisters>& r) {
  constexpr int kMost = 64;
  const auto is_frame = [&](uint64_t at) {
    uint64_t back = 0;
    return at > r[kSp] && read_word(space, stack, at + 8, back) && is_code(space, back - 1);
  };
  for (int i = 0; i < kMost && read_word(space, stack, r[kSp], r[kReturn]); i++) {
    r[kSp] += 8;
    if (is_code(space, r[kReturn] - 1)) return true;
    if (!is_frame(r[kBp])) r[kBp] = r[kReturn];
  }
  return false;
}

// Where C libraries have handlers return to: mov $15, %rax; syscall.
bool is_restorer(const AddressSpace& space, uint64_t pc) {
  uint64_t code = 0, rest = 0;
  return is_code(space, pc) && read_word(space, nullptr, pc, code) && code == 0x0f0000000fc0c748 && read_word(space, nullptr, pc + 8, rest) && (rest & 0xff) == 0x05;
}

// What a handler has interrupted: the kernel's frame is on the stack, above the return address to the restorer.
bool return_from_handler(const AddressSpace& space, const StackCopy* stack, std::array<uint64_t, kRegisters>& r) {
  const uint64_t registers = r[kSp] + offsetof(ucontext_t, uc_mcontext.gregs);
  const auto read = [&](int which, uint64_t& to) { return read_word(space, stack, registers + static_cast<uint64_t>(which) * 8, to); };
  return read(REG_RIP, r[kReturn]) && read(REG_RBP, r[kBp]) && read(REG_RSP, r[kSp]);
}

// The caller's registers in place of a function's own. `call`: pc is a return address, behind the call it belongs to.
bool step(const AddressSpace& space, const StackCopy* stack, std::array<uint64_t, kRegisters>& r, bool call) {
  const uint64_t pc = r[kReturn] - (call ? 1 : 0);
  uint64_t start = 0, relative = 0;
  const Area* a = space.find(pc, &start);
  if (!is_code(space, pc))  // a jump to nowhere: the return address, if it was a call, is on top of the stack
    return !call && (pc < kZoneLow ? return_from_host(space, stack, r) : return_from_top(space, stack, r));
  if (!a->file) return false;
  const FileView f(a->file->real);
  const auto* h = f.at<Elf64_Ehdr>(0);
  if (!h || memcmp(h->e_ident, ELFMAG, SELFMAG) != 0 || !virtual_address(f, *h, pc - start + a->offset, relative)) return false;
  const auto row = find_row(f, *h, relative);
  // In the linker's stubs, and in assembly without call frame information, the return address is still on top of the stack.
  if (!call && (!row || !row->cfa_known)) return return_from_top(space, stack, r);
  if (!row || !row->cfa_known || (row->cfa_register != kSp && row->cfa_register != kBp)) return false;
  const uint64_t cfa = r[static_cast<size_t>(row->cfa_register)] + static_cast<uint64_t>(row->cfa_offset);
  if (cfa <= r[kSp] || row->rules[kReturn].kind != Row::AtOffset) return false;
  if (!read_word(space, stack, cfa + static_cast<uint64_t>(row->rules[kReturn].offset), r[kReturn])) return false;
  if (row->rules[kBp].kind == Row::AtOffset && !read_word(space, stack, cfa + static_cast<uint64_t>(row->rules[kBp].offset), r[kBp])) return false;
  r[kSp] = cfa;
  return r[kReturn] != 0;
}

// "faults.c:17" from addr2line, where it is installed and the file has debug information.
std::string line_of(const AddressSpace& space, uint64_t pc) {
  uint64_t start = 0, relative = 0;
  const Area* a = space.find(pc, &start);
  if (!a || !a->file || a->file->real.find('\'') != std::string::npos) return {};
  const FileView f(a->file->real);
  const auto* h = f.at<Elf64_Ehdr>(0);
  if (!h || memcmp(h->e_ident, ELFMAG, SELFMAG) != 0 || !virtual_address(f, *h, pc - start + a->offset, relative)) return {};
  char command[4600];
  snprintf(command, sizeof command, "timeout 5 addr2line -e '%s' 0x%llx 2>/dev/null </dev/null", a->file->real.c_str(),
           static_cast<unsigned long long>(relative));
  FILE* p = popen(command, "re");
  char line[4096] = {};
  if (p && !fgets(line, sizeof line, p)) line[0] = 0;
  if (p) pclose(p);
  std::string text(line, strcspn(line, " \n"));
  return text.empty() || text[0] == '?' || text.ends_with(":?") || text.ends_with(":0") ? std::string{} : text;
}

}  // namespace

std::vector<Place> backtrace(const AddressSpace& space, uint64_t pc, uint64_t sp, uint64_t bp, const StackCopy* stack) {
  std::array<uint64_t, kRegisters> r{};
  r[kReturn] = pc;
  r[kSp] = sp;
  r[kBp] = bp;
  std::vector<Place> calls{{pc, true}};
  while (calls.size() < kMostCalls) {
    const uint64_t at = r[kReturn];
    const bool interrupted = is_restorer(space, at) || (calls.back().exact && is_restorer(space, at - 7));  // or between its instructions
    if (!(interrupted ? return_from_handler(space, stack, r) : step(space, stack, r, !calls.back().exact))) break;
    calls.push_back({r[kReturn], interrupted});
  }
  return calls;
}

std::string describe(const AddressSpace& space, const std::vector<Place>& calls) {
  std::string text;
  for (size_t i = 0; i < calls.size(); i++) {
    const uint64_t pc = calls[i].pc - (calls[i].exact ? 0 : 1);
    const std::string symbol = symbolize(space, pc), line = line_of(space, pc);
    char number[64];
    snprintf(number, sizeof number, "  #%zu 0x%llx", i, static_cast<unsigned long long>(calls[i].pc));
    text += number + (symbol.empty() ? std::string{} : " " + symbol) + (line.empty() ? std::string{} : " at " + line) + "\n";
  }
  return text;
}

}  // namespace dmi::host
