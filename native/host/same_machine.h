// Where source and destination of a move are processes of one machine, the destination reads the thread's pages from the source's
// memory itself, and nothing goes through a socket. That they are is not believed but tried: the offer says where a random number is
// in the source's memory, and who can read it there can read the rest.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "codec.h"
#include "pages.h"

namespace dmi::host {

// In the offer: a number and where it is. Must stay where it was made until the move is over.
struct Beacon {
  int32_t pid = 0;  // 0: not to be tried
  uint64_t at = 0;
  std::array<uint8_t, 16> number{};

  static std::unique_ptr<const Beacon> light();  // of this process; pid 0 with DMI_HOST_MOVES=stream (tests, comparisons)
  void save(Writer& w) const;
  static Beacon load(Reader& r);
};

class SourceMemory {
 public:
  // Null: on another machine, in another container, or the kernel does not permit it.
  static std::unique_ptr<SourceMemory> reach(const Beacon& beacon);
  ~SourceMemory();
  SourceMemory(const SourceMemory&) = delete;

  // Copies a run of whole pages, mapped readable and writable here, to the same addresses. Appends what the source does not have
  // any more. Throws Error("unreachable") when the source has ended: what came since nobody knows is not to be used.
  void copy(const Run& run, std::vector<Run>& missed);

 private:
  SourceMemory(int pid, int pidfd) : pid_(pid), pidfd_(pidfd) {}
  void read(uint64_t from, void* to, size_t size, const std::function<void(size_t)>& missing) const;
  bool copy_fresh(const Run& run, std::vector<Run>& missed) const;
  void still_there() const;
  int pid_;
  int pidfd_;  // its number cannot come to be another process's unnoticed
};

}  // namespace dmi::host
