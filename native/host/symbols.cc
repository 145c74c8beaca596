#include "symbols.h"

#include "elf_view.h"

#include <cxxabi.h>
#include <elf.h>
#include <stdlib.h>

#include <cstdio>
#include <cstring>

namespace dmi::host {
namespace {

std::string find_symbol(const FileView& f, const Elf64_Ehdr& h, uint64_t address) {
  const auto* sections = f.at<Elf64_Shdr>(h.e_shoff, h.e_shnum);
  const Elf64_Sym* best = nullptr;
  std::string name;
  for (int i = 0; sections && i < h.e_shnum; i++) {
    const Elf64_Shdr& s = sections[i];
    if ((s.sh_type != SHT_SYMTAB && s.sh_type != SHT_DYNSYM) || s.sh_link >= h.e_shnum) continue;
    const uint64_t count = s.sh_size / sizeof(Elf64_Sym);
    const auto* symbols = f.at<Elf64_Sym>(s.sh_offset, count);
    for (uint64_t k = 0; symbols && k < count; k++) {
      const Elf64_Sym& y = symbols[k];
      if (ELF64_ST_TYPE(y.st_info) != STT_FUNC || y.st_shndx == SHN_UNDEF || y.st_value > address) continue;
      if (y.st_size && address >= y.st_value + y.st_size) continue;
      if (best && y.st_value <= best->st_value) continue;
      best = &y;
      name = f.text(sections[s.sh_link].sh_offset + y.st_name);
    }
  }
  if (!best) return {};
  int status = 0;
  if (char* plain = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status)) {
    if (status == 0) name = plain;
    free(plain);
  }
  char offset[32];
  snprintf(offset, sizeof offset, "+0x%llx", static_cast<unsigned long long>(address - best->st_value));
  return name + offset;
}

}  // namespace

std::string symbolize(const AddressSpace& space, uint64_t address) {
  uint64_t start = 0;
  const Area* a = space.find(address, &start);
  if (!a || !a->file) return {};
  const std::string file = a->file->path.substr(a->file->path.rfind('/') + 1);
  const FileView f(a->file->real);
  const auto* h = f.at<Elf64_Ehdr>(0);
  uint64_t relative = 0;
  if (!h || memcmp(h->e_ident, ELFMAG, SELFMAG) != 0 || !virtual_address(f, *h, address - start + a->offset, relative)) return "(" + file + ")";
  const std::string symbol = find_symbol(f, *h, relative);
  return (symbol.empty() ? "" : symbol + " ") + "(" + file + ")";
}

}  // namespace dmi::host
