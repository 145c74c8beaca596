#include "vdso.h"

#include <elf.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/time.h>

#include "error.h"
#include "platform.h"

extern "C" {
extern const char dmi_vdso_image[], dmi_vdso_image_end[];
// gate_entry.S: call the function below on the guest's stack, then look whether the host wants the guest back.
void dmi_gate_clock_gettime(), dmi_gate_clock_getres(), dmi_gate_gettimeofday(), dmi_gate_time(), dmi_gate_getcpu();
void *dmi_clock_gettime, *dmi_clock_getres, *dmi_gettimeofday, *dmi_time, *dmi_getcpu;
}

namespace dmi::host {
namespace {

static_assert(offsetof(dmi_gate, system_call) == 48 && offsetof(dmi_gate, clock_gettime) == 56 && offsetof(dmi_gate, getcpu) == 88,
              "vdso.S and hot_sites.cc know these offsets");
constexpr uint64_t kRoom = 16 << 10;  // bytes for the image

// Without a vDSO of the kernel's (or on a clock source that it cannot read): the system call itself, by the host.
long call_clock_gettime(long clock, timespec* t) { return raw_syscall(SYS_clock_gettime, clock, reinterpret_cast<long>(t)); }
long call_clock_getres(long clock, timespec* t) { return raw_syscall(SYS_clock_getres, clock, reinterpret_cast<long>(t)); }
long call_gettimeofday(timeval* t, void* zone) { return raw_syscall(SYS_gettimeofday, reinterpret_cast<long>(t), reinterpret_cast<long>(zone)); }
long call_time(time_t* t) { return raw_syscall(SYS_time, reinterpret_cast<long>(t)); }
long call_getcpu(unsigned* cpu, unsigned* node) { return raw_syscall(SYS_getcpu, reinterpret_cast<long>(cpu), reinterpret_cast<long>(node)); }

// A function of the kernel's vDSO, or `otherwise`. The image is the kernel's own, so nothing in it is doubted.
template <class F>
void* kernel_function(const char* name, F* otherwise) {
  const uint64_t base = getauxval(AT_SYSINFO_EHDR);
  if (!base) return reinterpret_cast<void*>(otherwise);
  const auto* h = reinterpret_cast<const Elf64_Ehdr*>(base);
  const auto* segments = reinterpret_cast<const Elf64_Phdr*>(base + h->e_phoff);
  uint64_t bias = base;
  const Elf64_Dyn* dynamic = nullptr;
  for (int i = h->e_phnum - 1; i >= 0; i--) {
    if (segments[i].p_type == PT_LOAD) bias = base + segments[i].p_offset - segments[i].p_vaddr;
    if (segments[i].p_type == PT_DYNAMIC) dynamic = reinterpret_cast<const Elf64_Dyn*>(base + segments[i].p_offset);
  }
  const char* strings = nullptr;
  const Elf64_Sym* symbols = nullptr;
  for (const Elf64_Dyn* d = dynamic; d && d->d_tag != DT_NULL; d++) {
    if (d->d_tag == DT_STRTAB) strings = reinterpret_cast<const char*>(bias + d->d_un.d_ptr);
    if (d->d_tag == DT_SYMTAB) symbols = reinterpret_cast<const Elf64_Sym*>(bias + d->d_un.d_ptr);
  }
  // The string table follows the symbols, in every vDSO there has been: that is how many there are.
  const bool ordered = strings && symbols && reinterpret_cast<const char*>(symbols) < strings;
  for (const Elf64_Sym* s = symbols; ordered && reinterpret_cast<const char*>(s + 1) <= strings; s++)
    if (ELF64_ST_TYPE(s->st_info) == STT_FUNC && s->st_shndx != SHN_UNDEF && strcmp(strings + s->st_name, name) == 0)
      return reinterpret_cast<void*>(bias + s->st_value);
  return reinterpret_cast<void*>(otherwise);
}

}  // namespace

void map_vdso(dmi_gate& gate) {
  const auto size = static_cast<size_t>(dmi_vdso_image_end - dmi_vdso_image);
  if (size > kRoom) throw Error("host", "the image for the time of day has " + std::to_string(size) + " bytes: too many");
  void* p = mmap(reinterpret_cast<void*>(DMI_GATE_VDSO_ADDRESS), page_up(size), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (p == MAP_FAILED) throw Error("host", std::string("cannot map the page for the time of day: ") + strerror(errno));
  memcpy(p, dmi_vdso_image, size);
  mprotect(p, page_up(size), PROT_READ | PROT_EXEC);
  dmi_clock_gettime = kernel_function("__vdso_clock_gettime", call_clock_gettime);
  dmi_clock_getres = kernel_function("__vdso_clock_getres", call_clock_getres);
  dmi_gettimeofday = kernel_function("__vdso_gettimeofday", call_gettimeofday);
  dmi_time = kernel_function("__vdso_time", call_time);
  dmi_getcpu = kernel_function("__vdso_getcpu", call_getcpu);
  gate.clock_gettime = dmi_gate_clock_gettime;
  gate.clock_getres = dmi_gate_clock_getres;
  gate.gettimeofday = dmi_gate_gettimeofday;
  gate.time = dmi_gate_time;
  gate.getcpu = dmi_gate_getcpu;
}

}  // namespace dmi::host
