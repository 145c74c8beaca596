#include "build_id.h"

#include <elf.h>
#include <string.h>
#include <sys/auxv.h>

namespace dmi::host {

std::string own_build_id() {
  const auto* ph = reinterpret_cast<const Elf64_Phdr*>(getauxval(AT_PHDR));
  for (unsigned long i = 0; ph && i < getauxval(AT_PHNUM); i++) {
    if (ph[i].p_type != PT_NOTE) continue;
    const auto* p = reinterpret_cast<const char*>(ph[i].p_vaddr);  // non-PIE: the address is where it is
    const char* end = p + ph[i].p_memsz;
    while (p + sizeof(Elf64_Nhdr) <= end) {
      const auto* n = reinterpret_cast<const Elf64_Nhdr*>(p);
      const char* name = p + sizeof *n;
      const char* data = name + ((n->n_namesz + 3) & ~3u);
      if (n->n_type == NT_GNU_BUILD_ID && n->n_namesz == 4 && memcmp(name, "GNU", 4) == 0) {
        std::string hex;
        for (unsigned k = 0; k < n->n_descsz; k++) {
          const auto b = static_cast<unsigned char>(data[k]);
          hex += "0123456789abcdef"[b >> 4];
          hex += "0123456789abcdef"[b & 15];
        }
        return hex;
      }
      p = data + ((n->n_descsz + 3) & ~3u);
    }
  }
  return "unknown";
}

}  // namespace dmi::host
