#include "elf_image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "platform.h"

namespace dmi::host {
namespace {

constexpr uint64_t kMaxSpan = 1ull << 36;  // 64 GiB of image: more is a corrupt header
constexpr int kMaxHeaders = 128;

[[noreturn]] void bad(const ElfImage& e, const char* what, const std::string& why) {
  throw Error("bad-program", std::string(what) + " " + e.path + ": " + why);
}

void read_at(const ElfImage& e, const char* what, void* to, uint64_t size, uint64_t offset) {
  if (offset > e.file_size || size > e.file_size - offset)
    bad(e, what, "truncated: needs " + std::to_string(size) + " bytes at offset " + std::to_string(offset) + ", the file has " +
                     std::to_string(e.file_size));
  auto* p = static_cast<char*>(to);
  while (size > 0) {
    const ssize_t n = pread(e.fd, p, size, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) bad(e, what, n < 0 ? strerror(errno) : "truncated while it was read");
    p += n;
    size -= static_cast<uint64_t>(n);
    offset += static_cast<uint64_t>(n);
  }
}

void check_header(const ElfImage& e, const char* what, const Elf64_Ehdr& h) {
  if (memcmp(h.e_ident, ELFMAG, SELFMAG) != 0) bad(e, what, "not an ELF file: give a compiled program (dmicc)");
  if (h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_ident[EI_DATA] != ELFDATA2LSB || h.e_machine != EM_X86_64)
    bad(e, what, "built for another machine (ELF machine " + std::to_string(h.e_machine) + "): this host runs x86-64");
  if (h.e_type == ET_EXEC)
    bad(e, what, "not position independent: compile it with dmicc, or with -fPIE -pie (or -static-pie)");
  if (h.e_type != ET_DYN) bad(e, what, "not an executable (ELF type " + std::to_string(h.e_type) + ")");
  if (h.e_phentsize != sizeof(Elf64_Phdr) || h.e_phnum == 0 || h.e_phnum > kMaxHeaders)
    bad(e, what, "corrupt: " + std::to_string(h.e_phnum) + " program headers of " + std::to_string(h.e_phentsize) + " bytes");
}

void check_load(ElfImage& e, const char* what, const Elf64_Phdr& p) {
  if (p.p_filesz > p.p_memsz || p.p_memsz > kMaxSpan || p.p_vaddr > kMaxSpan || p.p_align > kMaxSpan ||
      (p.p_vaddr & (kPage - 1)) != (p.p_offset & (kPage - 1)))
    bad(e, what, "corrupt: a segment's sizes or offsets do not fit together");
  if (p.p_offset > e.file_size || p.p_filesz > e.file_size - p.p_offset)
    bad(e, what, "truncated: a segment ends at byte " + std::to_string(p.p_offset + p.p_filesz) + ", the file has " +
                     std::to_string(e.file_size));
  if (!e.loads.empty() && page_down(p.p_vaddr) < page_up(e.loads.back().p_vaddr + e.loads.back().p_memsz))
    bad(e, what, "corrupt: segments overlap or are out of order");
}

}  // namespace

ElfImage::~ElfImage() {
  if (fd >= 0) close(fd);
}

std::shared_ptr<ElfImage> open_elf(const std::string& path, const std::string& real, const char* what) {
  auto e = std::make_shared<ElfImage>();
  e->path = path;
  e->real = real;
  e->fd = open(real.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe must not keep us waiting
  if (e->fd < 0) bad(*e, what, strerror(errno));
  struct stat st;
  if (fstat(e->fd, &st) != 0) bad(*e, what, strerror(errno));
  if (!S_ISREG(st.st_mode)) bad(*e, what, "not a regular file");
  e->file_size = static_cast<uint64_t>(st.st_size);
  if (e->file_size < SELFMAG) bad(*e, what, "not an ELF file: give a compiled program (dmicc)");
  Elf64_Ehdr h{};
  read_at(*e, what, &h, std::min<uint64_t>(sizeof h, e->file_size), 0);
  if (memcmp(h.e_ident, ELFMAG, SELFMAG) == 0 && e->file_size < sizeof h) bad(*e, what, "truncated in its header");
  check_header(*e, what, h);
  e->headers.resize(h.e_phnum);
  read_at(*e, what, e->headers.data(), h.e_phnum * sizeof(Elf64_Phdr), h.e_phoff);
  for (const Elf64_Phdr& p : e->headers) {
    if (p.p_type == PT_INTERP) {
      if (p.p_filesz == 0 || p.p_filesz > 4096) bad(*e, what, "corrupt: interpreter name of " + std::to_string(p.p_filesz) + " bytes");
      e->interp.resize(p.p_filesz);
      read_at(*e, what, e->interp.data(), p.p_filesz, p.p_offset);
      e->interp.resize(strnlen(e->interp.data(), e->interp.size()));
    }
    if (p.p_type != PT_LOAD || p.p_memsz == 0) continue;
    check_load(*e, what, p);
    if (h.e_phoff >= p.p_offset && h.e_phoff + h.e_phnum * sizeof(Elf64_Phdr) <= p.p_offset + p.p_filesz)
      e->phdr_vaddr = p.p_vaddr + (h.e_phoff - p.p_offset);
    if (std::has_single_bit(p.p_align)) e->align = std::max<uint64_t>(e->align, p.p_align);  // others are ignored, as the kernel does
    e->loads.push_back(p);
  }
  if (e->loads.empty()) bad(*e, what, "corrupt: nothing to load");
  e->align = std::max<uint64_t>(e->align, kPage);
  e->span = page_up(e->loads.back().p_vaddr + e->loads.back().p_memsz);
  if (h.e_entry >= e->span) bad(*e, what, "corrupt: its entry point lies outside its segments");
  e->entry = h.e_entry;
  return e;
}

}  // namespace dmi::host
