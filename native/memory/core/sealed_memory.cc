#include "sealed_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

namespace dmi::memory {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

bool is_file_of(const struct stat& at, uint64_t size) { return S_ISREG(at.st_mode) && static_cast<uint64_t>(at.st_size) == size; }

}  // namespace

int make_sealed(const char* name, uint64_t size, Backing backing) {
  const int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -1;
  const auto end = static_cast<off_t>(size);
  if ((backing == Backing::Holes ? ftruncate(fd, end) : fallocate(fd, 0, 0, end)) == 0 && fcntl(fd, F_ADD_SEALS, kSeals) == 0) return fd;
  close(fd);
  return -1;
}

int open_sealed(int32_t pid, int32_t fd, uint64_t size, int access) {
  if (pid <= 0 || fd < 0) return -1;
  const auto path = "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(fd);
  // Looked at before it is opened: in another process namespace the name may stand for something else altogether.
  struct stat at{};
  if (stat(path.c_str(), &at) != 0 || !is_file_of(at, size)) return -1;
  const int opened = open(path.c_str(), access | O_CLOEXEC | O_NONBLOCK);
  if (opened < 0) return -1;
  const int seals = fcntl(opened, F_GET_SEALS);
  if (fstat(opened, &at) == 0 && is_file_of(at, size) && seals >= 0 && (seals & kSeals) == kSeals) return opened;
  close(opened);
  return -1;
}

}  // namespace dmi::memory
