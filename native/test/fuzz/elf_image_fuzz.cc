// open_elf on any bytes.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

#include "host/elf_image.h"
#include "host/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const int fd = memfd_create("input", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(fd);
  if (ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != static_cast<ssize_t>(size)) abort();
  try {
    const auto e = dmi::host::open_elf("input", path, "program");
    if (e->entry >= e->span || e->loads.empty()) abort();
  } catch (const dmi::host::Error&) {
    // as it should be
  }
  return 0;
}
