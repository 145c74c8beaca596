// The data of a connection between two processes of one machine: two rings of bytes in memory that both have mapped.
//
//   creator (side 0) --ring 0--> opener (side 1)
//                   <--ring 1--
//
// The memory is a sealed memfd that the creator names in the handshake and the opener finds through /proc; a token in it, said
// in the handshake, proves that it is the one. The connection's socket stays: its end is the peer's end, and a byte on it
// wakes a peer that sleeps ("bell").
//
// head and tail count bytes since the beginning. Each side keeps its own two in private memory and only believes of the
// other's that 0 <= head - tail <= kRing; what is read is copied out before anybody looks at it. So a peer that writes
// anything anywhere in the rings can send garbage, as over a socket, and no more.
//
// Where a side can map the other's frame memory (../core/frame_memory.h), it says so, and large bodies that stand in there are
// copied from there by whoever receives them, instead of through the ring.
//
// Sleeping. `wants` of a side says what it waits for. It is set before the last look at the ring, and the other side looks at
// it after having moved its head (or tail), with a full fence between the two on both sides: so one of them sees the other.
#pragma once
#include <sys/uio.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "../core/frame_memory.h"
#include "socket.h"
#include "wire.h"

namespace dmi::memory::transport {

class SharedRings {
 public:
  static constexpr uint64_t kRing = 256 << 10;    // bytes of one ring
  static constexpr size_t kPublish = 32 << 10;    // bytes after which the other side may begin
  static constexpr size_t kToken = 32;
  static constexpr size_t kPlacedFrom = 32 << 10, kPlacedTo = 16 << 20;  // bytes of a body: larger ones would keep other peers waiting

  struct Offer {  // what the opener needs to know
    std::string boot;    // the machine, since its start
    int32_t pid = 0, fd = -1;
    std::array<std::byte, kToken> token{};
  };

  // Null: not possible here.
  static std::shared_ptr<SharedRings> create();
  static std::shared_ptr<SharedRings> open(const Offer& offer);
  ~SharedRings();
  SharedRings(const SharedRings&) = delete;
  Offer offer() const;
  void opened();  // the other side has it, or never will

  // ---- one sending thread at a time
  size_t write(const iovec* pieces, int count);  // bytes taken, at most kPublish; 0: no room
  bool room() const;
  bool await_room();      // asks for the bell; false: there is room already
  bool bell_for_data();   // after write(): whether the other side has to be woken

  // Where a body stands that the other side can reach by itself; nothing if it must go through the ring.
  std::optional<uint64_t> place_of(const std::byte* body, size_t size) const;

  // ---- one receiving thread at a time
  ptrdiff_t read(const iovec* to, int count);  // bytes; 0: none there; -1: the peer has broken the rings
  bool readable() const;
  bool bell_for_room();   // after read()
  const std::byte* placed(uint64_t at, size_t size);  // null: the peer has broken the rings

  // ---- before and after sleeping
  bool doze();            // asks for the bell; false: there is data already
  void awake();

 private:
  struct Side {
    alignas(64) std::atomic<uint64_t> head;   // of the ring it writes
    alignas(64) std::atomic<uint64_t> tail;   // of the ring it reads
    alignas(64) std::atomic<uint32_t> wants;
    FrameMemory::Offer frames;                // written before the other side is told of the rings, or tells that it has them
    std::atomic<bool> reaches;                // the other side's frames
  };
  struct Shared {
    std::array<std::byte, kToken> token;
    Side sides[2];
  };
  static constexpr uint32_t kData = 1, kRoom = 2;
  static constexpr size_t kData0 = 4096;
  static constexpr size_t kSize = kData0 + 2 * kRing;
  static_assert(sizeof(Shared) <= kData0);

  SharedRings(void* memory, int side, Fd fd);
  static std::shared_ptr<SharedRings> map(Fd fd, int side);
  void show_frames();
  Side& mine() const { return shared_->sides[side_]; }
  Side& theirs() const { return shared_->sides[1 - side_]; }
  bool bell(uint32_t what) const;

  Shared* const shared_;
  const int side_;
  std::byte* const out_;        // the ring this side writes
  const std::byte* const in_;
  Fd fd_;                       // creator: until opened()
  FrameMemory::Offer their_frames_;
  static constexpr uint64_t kSeen = 256 << 20;
  uint64_t seen_ = 0;  // bytes of frames_ since they were let go
  const std::byte* frames_ = nullptr;  // the other side's, if it has any that can be mapped here
  std::atomic<uint64_t> head_{0};  // of out_
  std::atomic<uint64_t> tail_{0};  // of in_
};

}  // namespace dmi::memory::transport
