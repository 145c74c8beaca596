// One direction of a session, receiving side: bytes from the socket to frames.
//
// Small frames are taken from a buffer, many per read. The body of a large one is read straight to the place the engine
// names (or to memory of its own). A connection that breaks in mid-frame leaves no trace: the frame comes again, whole.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "../member.h"
#include "shared_rings.h"
#include "wire.h"

namespace dmi::memory::transport {

// Where frames go. begin() and end() bracket calls of sink() and frame(): the engine's lock is held in between.
class FrameHandler {
 public:
  virtual ~FrameHandler() = default;
  virtual void begin() = 0;
  virtual std::byte* sink(MemberId from, std::span<const std::byte> head, size_t body_size) = 0;
  virtual void frame(MemberId from, std::span<const std::byte> head, std::span<const std::byte> body) = 0;
  virtual void end() = 0;
  virtual void app(MemberId from, std::span<const std::byte> bytes) = 0;  // outside begin() ... end()
  virtual void release() {}  // what Transport::hold() was told of is to be sent: outside begin() ... end()
};

class Receiver {
 public:
  explicit Receiver(MemberId from) : from_(from) {}

  enum class Result {
    Drained,  // the socket is empty
    More,     // there may be more: come again, others had to wait
    Closed,   // the connection has ended; error() says why unless the peer simply closed it
    Broken,   // the peer broke the protocol; error() says how
  };
  // Reads and hands over what has arrived, from `rings` if there are any. One thread at a time.
  Result pump(int fd, FrameHandler& handler, SharedRings* rings = nullptr);
  void reset();  // the connection is gone: forgets the frame in progress
  void stop() { stopped_ = true; }  // from within a handler: hands nothing more over

  // Highest seq handed over: read by the sender of the other direction.
  const std::atomic<uint64_t>& received() const { return received_; }
  uint64_t peer_acknowledged() const { return peer_acknowledged_; }
  bool took_frames() const { return took_frames_; }      // during the last pump()
  bool acknowledge_now() const { return acknowledge_now_; }  // the last pump() met a Ping or a large body
  const std::string& error() const { return error_; }
  uint64_t frames() const { return frames_.load(std::memory_order_relaxed); }
  uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  static constexpr size_t kBuffer = 64 << 10;         // bytes; grows for one large head, shrinks when it is empty
  static constexpr size_t kTail = 4 << 10;            // bytes read ahead behind a large body
  static constexpr size_t kBudget = 4 << 20;          // bytes per pump()
  static constexpr size_t kSlice = 8 << 10;           // bytes of frames handed over before what they cause is sent
  static constexpr size_t kPromptAck = 64 << 10;      // bytes of a body whose sender should not keep it for long

  Result read_some(int fd, SharedRings* rings, bool& drained, size_t& got);
  bool parse(FrameHandler& handler, SharedRings* rings);
  bool deliver_placed(FrameHandler& handler, SharedRings* rings, std::span<const std::byte> head, uint64_t place);
  bool check(const Link& link);
  void deliver(FrameHandler& handler, std::span<const std::byte> head, std::span<const std::byte> body);
  bool start_body(FrameHandler& handler, std::span<const std::byte> head, std::span<const std::byte> first);
  void make_room(size_t size);

  const MemberId from_;
  std::unique_ptr<std::byte[]> buffer_;
  size_t capacity_ = 0, begin_ = 0, end_ = 0;
  // The frame whose body is being read past the buffer.
  bool in_body_ = false;
  Link link_;
  std::vector<std::byte> head_;
  std::unique_ptr<std::byte[]> own_body_;
  std::byte* body_ = nullptr;
  size_t body_got_ = 0;
  size_t batch_ = 0;  // bytes handed over since begin()

  bool took_frames_ = false, acknowledge_now_ = false, stopped_ = false, in_batch_ = false;
  uint64_t peer_acknowledged_ = 0;
  std::atomic<uint64_t> received_{0}, frames_{0}, bytes_{0};
  std::string error_;
};

}  // namespace dmi::memory::transport
