#include "frame_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "sealed_memory.h"

namespace dmi::memory {
namespace {

std::atomic<FrameMemory*> of_this_process{nullptr};  // never deleted: frames may outlive every member

}  // namespace

void FrameMemory::begin() {
  static std::once_flag once;
  std::call_once(once, [] { of_this_process.store(make(), std::memory_order_release); });
}

FrameMemory* FrameMemory::get() { return of_this_process.load(std::memory_order_acquire); }

FrameMemory* FrameMemory::make() {
  // Twice the machine's memory: room for sizes that are not used any more.
  const auto size = 2 * static_cast<uint64_t>(std::max(sysconf(_SC_PHYS_PAGES), 1L)) * kPage;
  rlimit files{};
  if (getrlimit(RLIMIT_FSIZE, &files) != 0 || files.rlim_cur < size) return nullptr;  // to ask all the same would end the process
  const int fd = make_sealed("dmi-frames", size, Backing::Holes);
  if (fd < 0) return nullptr;
  void* const base = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  if (base == MAP_FAILED || getrandom(base, sizeof(Offer::token), 0) != static_cast<ssize_t>(sizeof(Offer::token))) {
    if (base != MAP_FAILED) munmap(base, size);
    close(fd);
    return nullptr;
  }
  madvise(base, size, MADV_DONTDUMP);  // nobody wants to wait for that many holes
  return new FrameMemory(fd, static_cast<std::byte*>(base), size);
}

void* FrameMemory::take(size_t bytes) {
  if (bytes > size_) return nullptr;
  const uint64_t size = (bytes + kPage - 1) & ~(kPage - 1);
  std::lock_guard lock(mutex_);
  if (auto of_size = free_.find(size); of_size != free_.end() && !of_size->second.empty()) {
    const uint64_t at = of_size->second.back();
    of_size->second.pop_back();
    return base_ + at;
  }
  if (size > size_ - end_) return nullptr;
  return base_ + std::exchange(end_, end_ + size);
}

bool FrameMemory::give_back(void* at, size_t bytes) {
  const auto offset = where(at, bytes);
  if (!offset) return false;
  const uint64_t size = (bytes + kPage - 1) & ~(kPage - 1);
  if (fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(*offset), static_cast<off_t>(size)) != 0)
    std::memset(at, 0, bytes);
  std::lock_guard lock(mutex_);
  free_[size].push_back(*offset);
  return true;
}

FrameMemory::Offer FrameMemory::offer() const {
  Offer o{getpid(), fd_, size_, {}};
  std::memcpy(o.token.data(), base_, o.token.size());
  return o;
}

const std::byte* FrameMemory::map(const Offer& offer) {
  if (offer.size < kPage) return nullptr;
  const int fd = open_sealed(offer.pid, offer.fd, offer.size, O_RDONLY);
  if (fd < 0) return nullptr;
  void* const base = mmap(nullptr, offer.size, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
  close(fd);
  if (base == MAP_FAILED) return nullptr;
  madvise(base, offer.size, MADV_DONTDUMP);
  if (std::memcmp(base, offer.token.data(), offer.token.size()) != 0) {
    munmap(base, offer.size);
    return nullptr;
  }
  return static_cast<const std::byte*>(base);
}

}  // namespace dmi::memory
