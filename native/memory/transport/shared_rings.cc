#include "shared_rings.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <new>

#include "../core/sealed_memory.h"

namespace dmi::memory::transport {
namespace {

std::string boot_id() {
  Fd fd(::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
  char text[64];
  const ssize_t n = fd ? read(fd.get(), text, sizeof text) : -1;
  return n > 0 ? std::string(text, static_cast<size_t>(n)) : std::string();
}

}  // namespace

SharedRings::SharedRings(void* memory, int side, Fd fd)
    : shared_(static_cast<Shared*>(memory)),
      side_(side),
      out_(static_cast<std::byte*>(memory) + kData0 + static_cast<size_t>(side) * kRing),
      in_(static_cast<std::byte*>(memory) + kData0 + static_cast<size_t>(1 - side) * kRing),
      fd_(std::move(fd)) {}

SharedRings::~SharedRings() {
  if (frames_) munmap(const_cast<std::byte*>(frames_), their_frames_.size);
  munmap(shared_, kSize);
}

std::shared_ptr<SharedRings> SharedRings::map(Fd fd, int side) {
  void* memory = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (memory == MAP_FAILED) return nullptr;
  return std::shared_ptr<SharedRings>(new SharedRings(memory, side, std::move(fd)));
}

void SharedRings::show_frames() {
  if (const auto* frames = FrameMemory::get()) mine().frames = frames->offer();
}

std::shared_ptr<SharedRings> SharedRings::create() {
  Fd fd(make_sealed("dmi-rings", kSize, Backing::Memory));
  if (!fd) return nullptr;
  auto rings = map(std::move(fd), 0);
  if (!rings) return nullptr;
  randombytes_buf(rings->shared_->token.data(), kToken);
  rings->show_frames();
  return rings;
}

SharedRings::Offer SharedRings::offer() const { return {boot_id(), getpid(), fd_.get(), shared_->token}; }

std::shared_ptr<SharedRings> SharedRings::open(const Offer& offer) {
  if (offer.boot.empty() || offer.boot != boot_id()) return nullptr;
  Fd fd(open_sealed(offer.pid, offer.fd, kSize, O_RDWR));
  if (!fd) return nullptr;
  auto rings = map(std::move(fd), 1);
  if (!rings || sodium_memcmp(rings->shared_->token.data(), offer.token.data(), kToken) != 0) return nullptr;
  rings->show_frames();
  rings->opened();
  return rings;
}

void SharedRings::opened() {
  fd_.reset();
  their_frames_ = theirs().frames;  // copied before it is looked at
  frames_ = FrameMemory::map(their_frames_);
  mine().reaches.store(frames_ != nullptr, std::memory_order_release);
}

// ---- sending -------------------------------------------------------------------------------------------------------------
bool SharedRings::room() const {
  return head_.load(std::memory_order_relaxed) - theirs().tail.load(std::memory_order_acquire) < kRing;
}

size_t SharedRings::write(const iovec* pieces, int count) {
  const uint64_t head = head_.load(std::memory_order_relaxed);
  const uint64_t used = head - theirs().tail.load(std::memory_order_acquire);
  if (used >= kRing) return 0;  // or nonsense, which never gets any room: the time-out will end it
  size_t left = std::min<size_t>(kRing - used, kPublish), done = 0;
  for (int i = 0; i < count && left > 0; i++) {
    const auto* from = static_cast<const std::byte*>(pieces[i].iov_base);
    size_t size = std::min(pieces[i].iov_len, left);
    left -= size;
    while (size > 0) {
      const size_t at = (head + done) % kRing;
      const size_t n = std::min<size_t>(size, kRing - at);
      memcpy(out_ + at, from, n);
      from += n;
      size -= n;
      done += n;
    }
  }
  head_.store(head + done, std::memory_order_relaxed);
  mine().head.store(head + done, std::memory_order_release);
  return done;
}

std::optional<uint64_t> SharedRings::place_of(const std::byte* body, size_t size) const {
  const auto* frames = FrameMemory::get();
  if (!frames || size < kPlacedFrom || size > kPlacedTo || !theirs().reaches.load(std::memory_order_acquire)) return std::nullopt;
  return frames->where(body, size);
}

bool SharedRings::await_room() {
  mine().wants.fetch_or(kRoom, std::memory_order_seq_cst);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return !room();
}

bool SharedRings::bell(uint32_t what) const {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  auto& wants = theirs().wants;
  return (wants.load(std::memory_order_relaxed) & what) && (wants.fetch_and(~what, std::memory_order_seq_cst) & what);
}
bool SharedRings::bell_for_data() { return bell(kData); }

// ---- receiving -----------------------------------------------------------------------------------------------------------
bool SharedRings::readable() const {
  return theirs().head.load(std::memory_order_acquire) != tail_.load(std::memory_order_relaxed);
}

ptrdiff_t SharedRings::read(const iovec* to, int count) {
  uint64_t tail = tail_.load(std::memory_order_relaxed);
  const uint64_t there = theirs().head.load(std::memory_order_acquire) - tail;
  if (there > kRing) return -1;
  size_t left = there, done = 0;
  for (int i = 0; i < count && left > 0; i++) {
    auto* place = static_cast<std::byte*>(to[i].iov_base);
    size_t size = std::min(to[i].iov_len, left);
    left -= size;
    while (size > 0) {
      const size_t at = tail % kRing;
      const size_t n = std::min({size, static_cast<size_t>(kRing - at), kPublish});
      memcpy(place, in_ + at, n);
      place += n;
      size -= n;
      done += n;
      tail += n;
      mine().tail.store(tail, std::memory_order_release);
    }
  }
  tail_.store(tail, std::memory_order_relaxed);
  return static_cast<ptrdiff_t>(done);
}

const std::byte* SharedRings::placed(uint64_t at, size_t size) {
  if (!frames_ || at > their_frames_.size || size > their_frames_.size - at) return nullptr;
  // What was read counts as this process's memory, too: now and then it is let go.
  if ((seen_ += size) > kSeen) {
    madvise(const_cast<std::byte*>(frames_), their_frames_.size, MADV_DONTNEED);
    seen_ = 0;
  }
  return frames_ + at;
}

bool SharedRings::bell_for_room() { return bell(kRoom); }

// ---- sleeping ------------------------------------------------------------------------------------------------------------
bool SharedRings::doze() {
  mine().wants.fetch_or(kData, std::memory_order_seq_cst);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return !readable();
}
void SharedRings::awake() { mine().wants.fetch_and(~kData, std::memory_order_relaxed); }

}  // namespace dmi::memory::transport
