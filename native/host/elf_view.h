// An ELF file as it lies on disk, for reports: read with every access checked against its size.
#pragma once
#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

namespace dmi::host {

// A file mapped for reading, with every access checked against its size.
class FileView {
 public:
  explicit FileView(const std::string& path) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0) {
      void* p = mmap(nullptr, static_cast<size_t>(st.st_size), PROT_READ, MAP_PRIVATE, fd, 0);
      if (p != MAP_FAILED) data_ = static_cast<const char*>(p), size_ = static_cast<uint64_t>(st.st_size);
    }
    if (fd >= 0) close(fd);
  }
  ~FileView() {
    if (data_) munmap(const_cast<char*>(data_), size_);
  }
  FileView(const FileView&) = delete;
  template <class T>
  const T* at(uint64_t offset, uint64_t count = 1) const {
    if (!data_ || offset > size_ || count > (size_ - offset) / sizeof(T)) return nullptr;
    return reinterpret_cast<const T*>(data_ + offset);
  }
  std::string text(uint64_t offset) const {
    if (!data_ || offset >= size_) return {};
    return {data_ + offset, strnlen(data_ + offset, std::min<uint64_t>(size_ - offset, 4096))};
  }

 private:
  const char* data_ = nullptr;
  uint64_t size_ = 0;
};

// File offset -> virtual address relative to the load base.
inline bool virtual_address(const FileView& f, const Elf64_Ehdr& h, uint64_t offset, uint64_t& out) {
  const auto* ph = f.at<Elf64_Phdr>(h.e_phoff, h.e_phnum);
  for (int i = 0; ph && i < h.e_phnum; i++)
    if (ph[i].p_type == PT_LOAD && offset >= (ph[i].p_offset & ~4095ull) && offset < ph[i].p_offset + ph[i].p_filesz)
      return out = ph[i].p_vaddr + (offset - ph[i].p_offset), true;
  return false;
}

}  // namespace dmi::host
