#include "same_machine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "error.h"
#include "huge_pages.h"
#include "platform.h"
#include "signals.h"

namespace dmi::host {
namespace {

constexpr uint64_t kStep = 4 << 20;       // bytes that are read in one call, and have pages of one size; whole huge pages
constexpr uint64_t kPiece = 256 << 10;    // bytes that stay in a core's cache between being read and being put into place
constexpr uint64_t kFreshFrom = 1 << 20;  // bytes of a run from which putting whole new pages into place pays
constexpr uint64_t kTwoFrom = 4 << 20;    // bytes from which two threads share the work
constexpr int kUserModeOnly = 1;          // UFFD_USER_MODE_ONLY

// More threads that copy than there are cores only push each other's pieces out of the caches: large runs wait for their turn.
class Turn {
 public:
  explicit Turn(bool wait) {
    std::unique_lock hold(mutex_);
    if (wait) freed_.wait(hold, [] { return left_ > 0; });
    mine = left_ > 0;
    if (mine) left_--;
  }
  ~Turn() {
    if (!mine) return;
    std::lock_guard hold(mutex_);
    left_++;
    freed_.notify_one();
  }
  Turn(const Turn&) = delete;
  bool mine;

 private:
  static inline std::mutex mutex_;
  static inline std::condition_variable freed_;
  static inline unsigned left_ = std::max(1u, std::thread::hardware_concurrency());
};

// All copying here shares what it has found out about page sizes. What a step costs is processor time: others that run meanwhile do
// not make it look dear.
class SharedChoice {
 public:
  bool huge() {
    std::lock_guard hold(mutex_);
    return choice_.huge();
  }
  void took(bool huge, uint64_t bytes, double seconds) {
    std::lock_guard hold(mutex_);
    choice_.took(huge, bytes, seconds);
  }

 private:
  std::mutex mutex_;
  PageSizeChoice choice_;
};

double thread_seconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

// New pages put into ranges as a whole: unlike a page that is touched, they are not cleared first. They are small ones. While it exists
// nobody else may touch a range that it has claimed.
class NewPages {
 public:
  NewPages() {
    fd_ = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | kUserModeOnly));
    uffdio_api api{};
    api.api = UFFD_API;
    if (fd_ < 0 || ioctl(fd_, UFFDIO_API, &api) == 0) return;
    close(fd_);
    fd_ = -1;
  }
  ~NewPages() {
    if (fd_ >= 0) close(fd_);
  }
  NewPages(const NewPages&) = delete;
  // False: the kernel will not, as for mappings of files.
  bool claim(uint64_t start, uint64_t size) const {
    uffdio_register reg{};
    reg.range = {start, size};
    reg.mode = UFFDIO_REGISTER_MODE_MISSING;
    return fd_ >= 0 && ioctl(fd_, UFFDIO_REGISTER, &reg) == 0;
  }
  // Into a range that is claimed. False: the kernel will not.
  bool put(uint64_t at, const std::byte* from, size_t size) const {
    while (size > 0) {
      uffdio_copy c{};
      c.dst = at, c.src = reinterpret_cast<uint64_t>(from), c.len = size;
      if (ioctl(fd_, UFFDIO_COPY, &c) == 0) return true;
      size_t done = c.copy > 0 ? static_cast<size_t>(c.copy) : 0;
      if (c.copy == -EEXIST) memcpy(reinterpret_cast<void*>(at), from, done = kPage);  // one that is there already
      else if (c.copy <= 0 && c.copy != -EAGAIN) return false;
      at += done, from += done, size -= done;
    }
    return true;
  }

 private:
  int fd_ = -1;
};

void add(std::vector<Run>& runs, uint64_t page) {
  if (!runs.empty() && runs.back().start + runs.back().size == page) runs.back().size += kPage;
  else runs.push_back({page, kPage});
}

}  // namespace

std::unique_ptr<const Beacon> Beacon::light() {
  auto b = std::make_unique<Beacon>();
  const char* wanted = getenv("DMI_HOST_MOVES");
  if ((wanted && strcmp(wanted, "stream") == 0) || getrandom(b->number.data(), b->number.size(), 0) != static_cast<ssize_t>(b->number.size())) return b;
  b->pid = getpid();
  b->at = reinterpret_cast<uint64_t>(b->number.data());
  return b;
}

void Beacon::save(Writer& w) const {
  w.num(pid), w.num(at);
  for (const uint8_t n : number) w.num(n);
}

Beacon Beacon::load(Reader& r) {
  Beacon b;
  b.pid = r.num<int32_t>(), b.at = r.num<uint64_t>();
  for (uint8_t& n : b.number) n = r.num<uint8_t>();
  return b;
}

std::unique_ptr<SourceMemory> SourceMemory::reach(const Beacon& beacon) {
  if (beacon.pid <= 0 || beacon.pid == getpid()) return nullptr;
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, beacon.pid, 0));
  if (pidfd < 0) return nullptr;
  std::unique_ptr<SourceMemory> source(new SourceMemory(beacon.pid, pidfd));
  std::array<uint8_t, 16> found{};
  const iovec to{found.data(), found.size()}, from{reinterpret_cast<void*>(beacon.at), found.size()};
  if (process_vm_readv(beacon.pid, &to, 1, &from, 1, 0) != static_cast<ssize_t>(found.size()) || found != beacon.number) return nullptr;
  return source;
}

SourceMemory::~SourceMemory() { close(pidfd_); }

void SourceMemory::still_there() const {
  pollfd p{pidfd_, POLLIN, 0};
  if (poll(&p, 1, 0) != 0) throw Error("unreachable", "the source of the move has ended");
}

// `missing` is told the offset of each page that is not there.
void SourceMemory::read(uint64_t from, void* to, size_t size, const std::function<void(size_t)>& missing) const {
  for (size_t done = 0; done < size;) {
    const iovec here{static_cast<char*>(to) + done, std::min<size_t>(size - done, kStep)};
    const iovec there{reinterpret_cast<void*>(from + done), here.iov_len};
    const ssize_t n = process_vm_readv(pid_, &here, 1, &there, 1, 0);
    if (n > 0) {
      done += static_cast<size_t>(n);
    } else if (errno == EFAULT) {
      missing(done);
      done += kPage;
    } else if (errno != EINTR) {
      throw Error("unreachable", std::string("cannot read the source's memory: ") + strerror(errno));
    }
  }
}

// In steps, each of them with pages of one size: huge ones are copied into where they are, small ones put there. False: that is not
// possible here; nothing is to be relied upon then.
bool SourceMemory::copy_fresh(const Run& run, std::vector<Run>& missed) const {
  static SharedChoice choice;
  const bool large = run.size >= kHugeFrom && permit_huge_pages(run.start, run.start + run.size);
  const uint64_t step = large ? kStep : kPiece, end = run.start + run.size;
  const NewPages pages;
  if (!large && !pages.claim(run.start, run.size)) return false;
  std::atomic<uint64_t> next{run.start & ~(step - 1)};
  std::atomic<bool> good{true};
  std::mutex mutex;
  std::string broken;
  const auto gone = [&](uint64_t page) {
    std::lock_guard hold(mutex);
    missed.push_back({page, kPage});
  };
  const auto take = [&](uint64_t at, uint64_t size, std::byte* piece) {
    const bool whole = large && size == kStep, huge = whole && choice.huge();
    const double begin = whole ? thread_seconds() : 0;
    if (huge) {
      read(at, reinterpret_cast<void*>(at), size, [&](size_t offset) { gone(at + offset); });
    } else if (large && !pages.claim(at, size)) {
      good = false;
    } else {
      for (uint64_t part; size > 0 && good; at += part, size -= part) {
        part = std::min(size, kPiece);
        read(at, piece, part, [&](size_t offset) {
          memset(piece + offset, 0, kPage);
          gone(at + offset);
        });
        if (!pages.put(at, piece, part)) good = false;
      }
    }
    if (whole) choice.took(huge, kStep, thread_seconds() - begin);
  };
  const auto work = [&] {
    void* p = mmap(nullptr, kPiece, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
      good = false;
      return;
    }
    try {
      for (uint64_t from; good && (from = next.fetch_add(step)) < end;) {
        const uint64_t at = std::max(from, run.start);
        take(at, std::min(end, from + step) - at, static_cast<std::byte*>(p));
      }
    } catch (const Error& e) {
      std::lock_guard hold(mutex);
      broken = e.what();
      good = false;
    }
    munmap(p, kPiece);
  };
  const Turn turn(true);
  std::thread second;
  if (run.size >= kTwoFrom) {
    second = std::thread([&] {
      block_all_signals();
      if (const Turn other(false); other.mine) work();
    });
  }
  work();
  if (second.joinable()) second.join();
  if (!broken.empty()) throw Error("unreachable", broken);
  return good;
}

void SourceMemory::copy(const Run& run, std::vector<Run>& missed) {
  std::vector<Run> fresh_missed;
  if (run.size >= kFreshFrom && copy_fresh(run, fresh_missed)) {
    missed.insert(missed.end(), fresh_missed.begin(), fresh_missed.end());
  } else {
    read(run.start, reinterpret_cast<void*>(run.start), run.size, [&](size_t offset) { add(missed, run.start + offset); });
  }
  still_there();
}

}  // namespace dmi::host
