#include "loader.h"

#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>

#include <algorithm>

#include "../gate/gate.h"
#include "error.h"
#include "hot_sites.h"
#include "platform.h"
#include "signal_frames.h"

namespace dmi::host {
namespace {

// Threads begin at different pages of their regions. Regions start at multiples of their size, and a processor's cache of page
// translations goes by the last bits of a page's number: a dozen threads alike would need all that it has of a few such numbers.
// So many pages at most stay unused at a region's ends; with them all that follows the stack is still under one page of the page table.
constexpr uint64_t kColours = 32;

[[noreturn]] void no_memory(const std::string& what, int64_t error) {
  throw Error("no-memory", "cannot map " + what + ": " + strerror(static_cast<int>(-error)) +
                               (error == -ENOMEM ? " (raise --thread-memory, or vm.max_map_count on this node)" : ""));
}

int prot_of(const Elf64_Phdr& p) {
  return ((p.p_flags & PF_R) ? PROT_READ : 0) | ((p.p_flags & PF_W) ? PROT_WRITE : 0) | ((p.p_flags & PF_X) ? PROT_EXEC : 0);
}

void map_image(AddressSpace& space, const ElfImage& image, const std::shared_ptr<MappedFile>& file, uint64_t base) {
  for (const Elf64_Phdr& p : image.loads) {
    const uint64_t start = base + page_down(p.p_vaddr), file_end = base + p.p_vaddr + p.p_filesz,
                   mem_end = base + p.p_vaddr + p.p_memsz;
    const int prot = prot_of(p);
    if (p.p_filesz > 0) {
      const int64_t r = space.map(start, file_end - start, prot, MAP_PRIVATE | MAP_FIXED, image.fd, page_down(p.p_offset), file);
      if (r < 0) no_memory(image.path, r);
    }
    const uint64_t file_pages = p.p_filesz > 0 ? page_up(file_end) : start;
    if (mem_end > file_pages) {
      const int64_t r = space.map(file_pages, mem_end - file_pages, prot, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0, nullptr);
      if (r < 0) no_memory(image.path, r);
    }
    // The rest of the last file page must read as zero in every writable segment: it is .bss, and ld.so allocates there.
    if ((prot & PROT_WRITE) && p.p_filesz > 0 && file_end < file_pages)
      memset(reinterpret_cast<void*>(file_end), 0, file_pages - file_end);
  }
}

// Strings of argv and env, the 16 random bytes of AT_RANDOM, and above them the vectors, as the ABI wants them.
uint64_t build_stack(const LoadRequest& request, const ElfImage& exe, uint64_t exe_base, uint64_t interp_base, uint64_t top) {
  uint64_t at = top - 64;
  auto put = [&](const void* data, size_t size) {
    at -= size;
    memcpy(reinterpret_cast<void*>(at), data, size);
    return at;
  };
  const uint64_t name = put(exe.path.c_str(), exe.path.size() + 1);
  const uint64_t platform = put("x86_64", 7);
  uint8_t random[16];
  if (getrandom(random, sizeof random, 0) != sizeof random) throw Error("no-memory", "getrandom failed");
  at &= ~15ull;
  const uint64_t random_at = put(random, sizeof random);
  std::vector<uint64_t> argv, env;
  for (const std::string& s : request.argv) argv.push_back(put(s.c_str(), s.size() + 1));
  for (const std::string& s : request.env) env.push_back(put(s.c_str(), s.size() + 1));

  std::vector<uint64_t> v;
  v.push_back(argv.size());
  v.insert(v.end(), argv.begin(), argv.end());
  v.push_back(0);
  v.insert(v.end(), env.begin(), env.end());
  v.push_back(0);
  auto aux = [&](uint64_t key, uint64_t value) { v.push_back(key), v.push_back(value); };
  if (exe.phdr_vaddr) aux(AT_PHDR, exe_base + exe.phdr_vaddr);
  aux(AT_PHENT, sizeof(Elf64_Phdr));
  aux(AT_PHNUM, exe.headers.size());
  aux(AT_PAGESZ, kPage);
  aux(AT_BASE, interp_base);
  aux(AT_ENTRY, exe_base + exe.entry);
  aux(AT_RANDOM, random_at);
  aux(AT_SYSINFO_EHDR, DMI_GATE_VDSO_ADDRESS);
  aux(AT_SECURE, 0);
  aux(AT_HWCAP, getauxval(AT_HWCAP));
  aux(AT_HWCAP2, getauxval(AT_HWCAP2));
  aux(AT_CLKTCK, 100);
  aux(AT_UID, getauxval(AT_UID));
  aux(AT_EUID, getauxval(AT_EUID));
  aux(AT_GID, getauxval(AT_GID));
  aux(AT_EGID, getauxval(AT_EGID));
  aux(AT_EXECFN, name);
  aux(AT_PLATFORM, platform);
  aux(AT_MINSIGSTKSZ, std::max<uint64_t>(getauxval(AT_MINSIGSTKSZ), least_signal_stack()));
  aux(AT_NULL, 0);
  const uint64_t sp = (at - v.size() * 8) & ~15ull;
  memcpy(reinterpret_cast<void*>(sp), v.data(), v.size() * 8);
  return sp;
}

uint64_t strings_size(const LoadRequest& r) {
  uint64_t n = 8192;
  for (const auto* list : {&r.argv, &r.env})
    for (const std::string& s : *list) n += s.size() + 1 + 8;
  return n;
}

}  // namespace

void load_program(const LoadRequest& request, AddressSpace& space, Context& context) {
  const ElfImage& exe = *request.program->executable;
  const ElfImage* interp = request.program->interpreter.get();
  const uint64_t stack = page_up(request.stack);
  const uint64_t least = kStackGuard + 2 * kColours * kPage + stack + exe.align + exe.span + kStubRoom + (interp ? interp->span : 0) + (1 << 18);
  if (strings_size(request) > stack / 2)
    throw Error("bad-program", "program " + exe.path + ": its arguments and environment do not fit into a stack of " +
                                   std::to_string(stack) + " bytes");
  if (request.region < least)
    throw Error("no-memory", "program " + exe.path + " needs a region of at least " + std::to_string(least) +
                                 " bytes: raise --thread-memory (now " + std::to_string(request.region) + ")");
  space.create(request.zone, request.region);
  const Extent region = space.extents().front();
  const uint64_t colour = region.base / round_up_power_of_two(region.size) % kColours * kPage;  // by chance, as the base is
  const uint64_t low = region.base + colour + kStackGuard, top = low + stack;
  int64_t r = space.map(low, stack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0, nullptr);
  if (r < 0) no_memory("the stack", r);
  space.set_stack(low, top);
  space.note(region.base, Area{low, PROT_NONE, false, nullptr, 0});
  if (colour) space.note(region.base + region.size - colour, Area{region.base + region.size, PROT_NONE, false, nullptr, 0});

  // A page stays reserved behind the stack: overruns fault.
  const uint64_t exe_base = (top + kPage + exe.align - 1) / exe.align * exe.align;
  map_image(space, exe, request.program->executable_file, exe_base);
  space.set_brk(exe_base + exe.span + kStubRoom, exe_base + exe.span + kStubRoom);
  uint64_t interp_base = 0, entry = exe_base + exe.entry;
  if (interp) {
    r = space.map(0, interp->span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0, nullptr);
    if (r < 0) no_memory(interp->path, r);
    interp_base = static_cast<uint64_t>(r);
    map_image(space, *interp, request.program->interpreter_file, interp_base);
    entry = interp_base + interp->entry;
  }
  const uint64_t sp = build_stack(request, exe, exe_base, interp_base, top);
  auto* frame = reinterpret_cast<SwitchFrame*>(sp - sizeof(SwitchFrame));
  *frame = SwitchFrame{};
  frame->mxcsr = 0x1f80;
  frame->fcw = 0x37f;
  frame->rip = entry;
  context.sp = reinterpret_cast<uint64_t>(frame);
}

}  // namespace dmi::host
