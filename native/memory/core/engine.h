// The sans-IO core of the memory engine: one deterministic state machine per member.
//
// No sockets, clocks or threads in here. Everything that happens is a call of one of the functions below, made under the
// caller's lock; everything the engine wants is appended to an Outbox. The same code runs under real transport
// (../member.cc) and under the simulator (../sim/) with hundreds of virtual members.
//
// Only `try_*` may run concurrently with the rest: they and the engine agree on a page through the page's own lock.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "../member.h"

namespace dmi::memory {

// A message: a small encoded head and, where there is one, page data that is not copied into it.
// Between one pair of members frames arrive in the order in which they were sent.
struct Frame {
  std::vector<std::byte> head;              // wire format: core/wire.h
  struct Slice {
    const std::byte* data;
    size_t size;
    std::shared_ptr<const void> keep;       // keeps `data` alive until the frame is on the wire (null: owned by an Op
  };                                        // that cannot complete before the answer to this frame has arrived)
  std::vector<Slice> body;
  size_t body_size() const;
};

struct Outbox {
  struct Send { MemberId to; Frame frame; };
  std::vector<Send> sends;
  std::vector<Op*> done;               // completed now (never the op whose submit/resume returned true)
  std::vector<FunctionCall*> functions;
  struct Log { int level; std::string line; };
  std::vector<Log> logs;
  std::vector<MemberId> hang_up;       // peers that broke the protocol: close the connection, say why in logs
  bool drained = false;
  // After submit(): `sends` may wait for a few microseconds, as answers to earlier operations are due.
  bool may_wait = false;
  // After submit(): the operation waits in the engine for company; the caller is to call release() soon, as above.
  bool held = false;
  // An operation of many pieces has been begun, and some of it may be sent; the caller is to call proceed() at once after that.
  bool more = false;

  bool empty() const { return sends.empty() && done.empty() && functions.empty() && logs.empty() && hang_up.empty() && !drained && !held && !more; }
};

struct EngineConfig {
  MemberId self = kNoMember;
  MemberState state = MemberState::Active;
  int64_t pool = 0;
  uint64_t seed = 0;      // of anything the engine would decide by chance
};

class Engine {
 public:
  static std::unique_ptr<Engine> create(EngineConfig config);
  virtual ~Engine() = default;

  virtual bool submit(Op* op, Outbox& out) = 0;   // true: complete
  virtual void release(Outbox& out) = 0;          // sends what is held, if anything is
  virtual void proceed(Outbox& out) = 0;          // begins more of what was begun
  virtual void park(Op* op, Outbox& out) = 0;
  virtual bool resume(Op* op, Outbox& out) = 0;
  virtual void flush(Outbox& out) = 0;
  virtual bool wants_flush() const noexcept = 0;  // readable without the lock
  virtual void function_done(FunctionCall* call, Outbox& out) = 0;
  virtual void apply(const ViewChange& change, Outbox& out) = 0;
  virtual void drain(Outbox& out) = 0;

  // A frame has arrived. `body` is what followed the head; when sink() gave a place for it, it is already there.
  virtual void receive(MemberId from, std::span<const std::byte> head, std::span<const std::byte> body, Outbox& out) = 0;
  // Where the body of this frame should be received to (the buffer of the operation it answers), or nullptr. Called
  // under the lock, before the body is read; the place stays valid until receive() of the same frame.
  virtual std::byte* sink(MemberId from, std::span<const std::byte> head, size_t body_size) = 0;

  virtual int try_read(GlobalAddr addr, int64_t size, void* to, Mode mode) noexcept = 0;
  virtual int try_write(GlobalAddr addr, int64_t size, const void* from, Mode mode) noexcept = 0;
  virtual int try_fad(GlobalAddr addr, int64_t add, int64_t* fetched) noexcept = 0;

  virtual MemberStats stats() const = 0;
  virtual std::vector<MemberInfo> members() const = 0;
  virtual uint64_t epoch() const = 0;
  // Internal consistency, in three levels (0 off, 1 cheap, 2 full). Empty: sound. For tests and the simulator.
  virtual std::string check(int level) const = 0;
};

}  // namespace dmi::memory
