// What a host must know of an ELF file before it maps it: checked program headers, interpreter, entry.
//
// Everything read from the file is checked against the file's size before it is used: a corrupt file gives an Error that
// names it and says what is wrong, never a crash.
#pragma once
#include <elf.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace dmi::host {

struct ElfImage {
  std::string path;               // as the guest knows it
  std::string real;               // what to open here
  int fd = -1;                    // open for reading while the image lives
  uint64_t file_size = 0;
  std::vector<Elf64_Phdr> loads;  // PT_LOAD only, ascending, not overlapping
  std::vector<Elf64_Phdr> headers;
  uint64_t phdr_vaddr = 0;        // AT_PHDR relative to the load base; 0: headers are not in memory
  uint64_t entry = 0;             // relative
  uint64_t span = 0;              // bytes from load base to the end of the last segment, page aligned
  uint64_t align = 1;             // the load base is a multiple of it: a power of two, at least a page
  std::string interp;             // empty: static

  ElfImage() = default;
  ElfImage(const ElfImage&) = delete;
  ElfImage& operator=(const ElfImage&) = delete;
  ~ElfImage();
};

// Opens and checks `real`. `what` says what the file is for ("program", "interpreter"). Throws Error("bad-program").
std::shared_ptr<ElfImage> open_elf(const std::string& path, const std::string& real, const char* what);

}  // namespace dmi::host
