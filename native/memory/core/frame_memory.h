// Memory for large frames that other processes of this machine can map: the bytes of a page then go to them without being
// copied into a connection (transport/shared_rings.h).
//
// One sealed memfd per process, most of it holes. Its first page holds a token by which whoever opens it knows that it is the
// one. Frames are extents of whole kernel pages; what is given back is a hole again, so everything taken reads as zeros. A size
// seldom comes alone (pages of one mapping are equally large), so free extents are kept by size and never joined; when the
// addresses are used up, frames come from the heap as they do without this.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

namespace dmi::memory {

class FrameMemory {
 public:
  static constexpr size_t kLeast = 64 << 10;  // bytes of a frame for which this pays

  struct Offer {  // what another process needs to know
    int32_t pid = 0, fd = -1;
    uint64_t size = 0;  // bytes
    std::array<std::byte, 32> token{};
  };

  // From here on large frames of this process are made there, if the kernel permits it. Any thread, any number of times.
  static void begin();
  static FrameMemory* get();  // null: not begun, or not possible

  void* take(size_t bytes);                   // zeros, or null: nothing is left
  bool give_back(void* at, size_t bytes);     // as it was taken. False: it is not from here
  // Where that lies in the memory; nothing if it is not from here.
  std::optional<uint64_t> where(const void* at, size_t bytes) const {
    const auto offset = static_cast<uint64_t>(static_cast<const std::byte*>(at) - base_);
    if (offset >= size_ || bytes > size_ - offset) return std::nullopt;
    return offset;
  }
  Offer offer() const;

  // Another process's, to be read; null: that is not to be had here. Given back with munmap.
  static const std::byte* map(const Offer& offer);

 private:
  FrameMemory(int fd, std::byte* base, uint64_t size) : fd_(fd), base_(base), size_(size), end_(kPage) {}
  static FrameMemory* make();
  static constexpr uint64_t kPage = 4096;

  const int fd_;
  std::byte* const base_;
  const uint64_t size_;
  std::mutex mutex_;
  uint64_t end_;  // of what was ever taken
  std::unordered_map<uint64_t, std::vector<uint64_t>> free_;  // by size: where
};

}  // namespace dmi::memory
