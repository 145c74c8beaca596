#include "dirty_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "error.h"

namespace dmi::host {
namespace {
// From linux/userfaultfd.h of 6.7; Debian 12's headers are older.
constexpr uint64_t kWpUnpopulated = 1 << 13, kWpAsync = 1 << 15;
constexpr int kUserModeOnly = 1;
}  // namespace

DirtyPages::DirtyPages(const std::vector<Run>& ranges) {
  fd_ = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | kUserModeOnly));
  if (fd_ < 0) {
    why_not_ = std::string("userfaultfd: ") + strerror(errno) + " (sysctl vm.unprivileged_userfaultfd=1, or a container profile that allows it)";
    return;
  }
  const auto give_up = [this](const char* what) {
    why_not_ = std::string(what) + ": " + strerror(errno);
    close(fd_);
    fd_ = -1;
  };
  uffdio_api api{};
  api.api = UFFD_API;
  api.features = kWpAsync | kWpUnpopulated;
  if (ioctl(fd_, UFFDIO_API, &api) != 0) {
    give_up("userfaultfd without asynchronous write protection (Linux 6.7 has it)");
    return;
  }
  for (const Run& r : ranges) {
    uffdio_register reg{};
    reg.range = {r.start, r.size};
    reg.mode = UFFDIO_REGISTER_MODE_WP;
    if (ioctl(fd_, UFFDIO_REGISTER, &reg) != 0) {
      give_up("cannot watch a mapping for writes");
      return;
    }
  }
}

DirtyPages::~DirtyPages() {
  if (fd_ >= 0) close(fd_);
}

void DirtyPages::take(uint64_t start, uint64_t end, std::vector<Run>& runs) {
  if (!take_written_pages(start, end, runs)) throw Error("refused", std::string("cannot take written pages: ") + strerror(errno));
}

void DirtyPages::look(uint64_t start, uint64_t end, std::vector<Run>& populated, std::vector<Run>& written) {
  if (!populated_and_written_pages(start, end, populated, written))
    throw Error("refused", std::string("cannot look for written pages: ") + strerror(errno));
}

}  // namespace dmi::host
