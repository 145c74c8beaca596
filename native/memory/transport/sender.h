// One direction of a session, sending side: frames waiting, and frames sent but not yet acknowledged.
//
//   entries_:  [ sent, unacknowledged ... | next_: being written from offset_ | waiting ... ]
//
// Invariants: seqs are consecutive; entries before next_ are fully with the kernel; a new connection resumes right after
// what the peer says it has received, so frames are neither lost nor doubled. Bodies are never copied, except small ones
// into the staging buffer that makes one batch one write.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <deque>

#include "../core/engine.h"
#include "lock.h"
#include "shared_rings.h"
#include "wire.h"

struct iovec;

namespace dmi::memory::transport {

class Sender {
 public:
  // `received`: highest seq received from the same peer, to be told in every link.
  explicit Sender(const std::atomic<uint64_t>& received) : received_(received) {}

  // Any thread: queue a frame; its place in the order is decided here.
  void push(LinkKind kind, Frame&& frame);

  enum class Result {
    Idle,  // nothing is left, or another thread is writing and will take it along, or unblock() is awaited
    Down,  // no connection
  };
  // Any thread: write as much as the socket takes. When it is full, epoll is asked for EPOLLOUT.
  Result flush();
  void unblock();  // EPOLLOUT has come, or a ring has room: flush() may go on
  bool awaits_room() const { return awaits_room_.load(std::memory_order_relaxed); }  // in a ring
  // The next flush() tells the peer what was received, with a link of its own if no frame is waiting.
  void request_ack();
  // The next flush() asks the peer to acknowledge at once.
  void request_ping();

  // The peer has received everything up to seq. False: it claims more than was sent.
  bool acknowledge(uint64_t seq);

  // A connection is there, watched by `epoll` with `tag`. The peer has received up to seq. False: it claims the
  // impossible. With `rings`, which live until detach(), data goes there and the descriptor is the bell.
  bool attach(int fd, int epoll, void* tag, uint64_t peer_received, SharedRings* rings = nullptr);
  // Returns when nobody writes to the descriptor any more.
  void detach();
  // As detach(), and drops every frame.
  void clear();

  bool empty();               // everything was acknowledged
  bool unsent();              // something waits to be written, and there is a connection
  int64_t waiting_since();    // coarse_ns() of the last progress while not empty; 0 when empty
  uint64_t ack_told() const { return ack_told_.load(std::memory_order_relaxed); }
  uint64_t frames() const { return frames_.load(std::memory_order_relaxed); }
  uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  struct Entry {
    uint64_t seq;
    LinkKind kind;
    uint32_t body_size;
    std::array<std::byte, kLinkSize> link;
    Frame frame;
    bool placed = false;  // on this connection: the peer copies the body from `place`
    uint64_t place = 0;
    size_t size() const { return kLinkSize + frame.head.size() + (placed ? kPlace : body_size); }
  };
  static constexpr int kMaxPieces = 64;           // iovecs per write
  static constexpr size_t kStaging = 16 << 10;    // bytes of small pieces gathered per write
  static constexpr size_t kSmall = 512;           // bytes up to which a copy is cheaper than an iovec
  static constexpr size_t kMaxWrite = 4 << 20;    // bytes per write

  static ptrdiff_t write(int fd, SharedRings* rings, iovec* pieces, int count);
  int gather(iovec* pieces);
  bool find_place(Entry& entry) const;
  void advance(size_t bytes);
  void drop_acknowledged(std::vector<Frame>& dead);
  void wait_for_writer();
  void watch_writes(bool on);

  SpinMutex mutex_;
  const std::atomic<uint64_t>& received_;
  std::deque<Entry> entries_;
  size_t next_ = 0;     // index in entries_
  size_t offset_ = 0;   // bytes of entries_[next_] already written
  uint64_t last_seq_ = 0;
  uint64_t sent_seq_ = 0;  // highest seq of which a byte was given to the kernel
  uint64_t acked_ = 0;
  int fd_ = -1, epoll_ = -1;
  void* tag_ = nullptr;
  SharedRings* rings_ = nullptr;
  std::atomic<bool> awaits_room_{false};
  bool writing_ = false;   // a thread is in sendmsg without the mutex; only it moves next_
  bool blocked_ = false;
  bool want_ack_ = false, want_ping_ = false;
  std::array<std::byte, kLinkSize> control_{};
  size_t control_left_ = 0;
  int64_t progress_ns_ = 0;
  std::atomic<uint64_t> ack_told_{0}, frames_{0}, bytes_{0};
  std::array<std::byte, kStaging> staging_;
};

}  // namespace dmi::memory::transport
