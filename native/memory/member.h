// The memory engine as its users see it: one Member per host process (or TypeScript program) and job.
//
// A Member is the sans-IO core (core/engine.h) plus its transport (transport/). This header is all that dmi-host and the
// Node addon include.
//
//   guest thread --submit(op)--> Member --frames--> other members' Members
//                <--done(op)----
//
// Threading: every function may be called from any thread at any time unless it says otherwise. `try_*` are the hot
// paths: they take only the page's own lock, never allocate, never touch thread-local storage (no errno, no malloc, no
// exceptions), so that a host may run them on a guest's stack with the guest's FS base.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dmi::memory {

using MemberId = int32_t;    // = dmi_id; given out by the coordinator, ascending, never used twice in a job
using GlobalAddr = int64_t;  // > 0; 0 is never mapped
constexpr MemberId kNoMember = -1;

// Values are those of dmi_api.h.
enum class Mode : uint8_t { Get = 20, Invalidate = 21, Update = 22, Exclusive = 23, Put = 24 };
enum class ReduceOp : uint8_t { Max = 20, Min = 21, Sum = 22, Prod = 23 };
enum class ReduceType : uint8_t { Char = 20, Short = 21, Int = 22, Long = 23, LongLong = 24, Float = 25, Double = 26 };

// Values are those of enum dmi_op in gate/gate.h, where each operation's arguments are described.
enum class OpKind : uint8_t {
  Mmap = 1, Munmap = 2, Read = 3, Write = 4, Cas = 5, Fas = 6, Fad = 7, Function = 8, Watch = 9, Save = 10, Unsave = 11,
  MutexLock = 16, MutexTryLock = 17, MutexUnlock = 18, CondWait = 19, CondSignal = 20, CondBroadcast = 21,
  Barrier = 22, Allreduce = 23, ObjectDestroy = 24, EventWait = 25, EventDrop = 26, MailWait = 27, MailPost = 28,
  EventSet = 29,
};

// A thread's stable name, also the identity of a lock holder. 0 = none. (dmi_id << 32 | thread_id)
using ThreadKey = uint64_t;

struct Piece {
  GlobalAddr addr;
  int64_t size;  // bytes
  std::byte* ptr;
};

// One operation. The caller owns it and everything it points to until it completes; the engine owns it meanwhile.
//
// Operations that wait for another thread (MutexLock, CondWait, Barrier, Allreduce, EventWait, MailWait, Watch) are
// *long*: they can be parked, carried to another member with their thread, and resumed there without losing their place
// in the queue. All others complete in bounded time once the members they need are reachable.
struct Op {
  OpKind kind{};
  Mode mode = Mode::Get;
  ReduceOp reduce_op = ReduceOp::Sum;
  ReduceType reduce_type = ReduceType::Double;
  int32_t tag = 0;          // Function
  int32_t pnum = 0;         // Barrier, Allreduce
  GlobalAddr addr = 0;
  GlobalAddr addr2 = 0;     // CondWait: the mutex
  int64_t size = 0;
  int64_t value = 0;        // in and out, see gate.h
  const std::byte* in = nullptr;
  const std::byte* in2 = nullptr;
  std::byte* out = nullptr;
  int64_t in_size = 0;
  int64_t out_size = 0;
  std::span<const Piece> pieces;  // Read, Write
  ThreadKey thread = 0;     // the calling thread (lock holder, mailbox owner)
  ThreadKey target = 0;     // EventWait, EventDrop, EventSet, MailPost: the thread named by the call
  uint64_t waiter = 0;      // long operations: set by the engine at submit, kept by the caller over a move for resume()

  // Result
  int error = 0;            // 0 or an errno value
  std::string message;      // one sentence when error != 0: names the object, says what to do
  bool parked = false;      // completed only because of park(): carry `waiter` along and resume() elsewhere

  void* user = nullptr;     // the caller's
  struct Op* next = nullptr;  // the engine's
  void* engine = nullptr;     // the engine's: per-operation progress
};
bool is_long(OpKind kind);

// ---- membership as the coordinator tells it -------------------------------------------------------------------------
constexpr uint32_t kShards = 1024;  // fixed number of directory shards per job

enum class MemberState : uint8_t {
  Active,    // homes shards, owns pages
  Draining,  // is handing everything over; must not be given anything new
  Lite,      // reads, writes and waits but never homes or owns anything: TypeScript programs, extra hosts
};
struct MemberInfo {
  MemberId id = kNoMember;
  MemberState state = MemberState::Active;
  std::string host;     // where its data port listens
  uint16_t port = 0;
  int32_t cores = 0;
  int64_t pool = 0;     // bytes of global memory it offers
  std::string hostname; // for people
};
// A change of the view. `full` replaces everything known; otherwise it applies on top of epoch - 1.
struct ShardRange { uint32_t first, count; MemberId home; };
struct ViewChange {
  uint64_t epoch = 0;
  bool full = false;
  std::vector<MemberInfo> members;   // added or changed
  std::vector<MemberId> gone;        // left, or died having owned nothing: no answer is to be expected from them
  std::vector<ShardRange> shards;    // homes that changed
};

struct FunctionCall {  // a DMI_function to run here; call Member::function_done with it when it has run
  std::byte* page;
  int64_t size;
  const std::byte* in;  // what the caller passed
  int64_t in_size;
  std::byte* out;       // to be filled with the result
  int64_t out_size;
  int32_t tag;
  int error = 0;        // set by the runner
  void* engine = nullptr;
};

struct MemberStats {
  int64_t pages_owned, pages_cached, bytes_owned, bytes_cached, pool, shards_homed;
  uint64_t messages_sent, messages_received, bytes_sent, bytes_received, pages_fetched, pages_handed_over, pages_evicted, pages_swapped;
};

// What the member tells its user. Called from any of the member's threads, with no engine lock held; must not block.
struct MemberCallbacks {
  std::function<void(Op*)> done;                                  // an operation that submit() left pending
  std::function<void(FunctionCall*)> run_function;                // absent: Function operations give ENOSYS
  std::function<void(MemberId from, std::span<const std::byte>)> app;  // see send_app
  std::function<void()> drained;                                  // draining is complete: nothing is left here
  std::function<void(MemberId, std::string_view why)> unreachable;  // a peer has not answered for `peer_timeout`
  // A connection whose hello asked for another service than the member protocol (a thread move). Takes the descriptor.
  std::function<void(int fd, std::string_view service, MemberId from, std::span<const std::byte> extra)> stream;
  std::function<void(int level, std::string_view line)> log;      // level as in pino: 30 info, 40 warn, 50 error
};

struct MemberConfig {
  std::string job;            // id, compared at every connection
  std::string key;            // per-job secret: connections prove it (HMAC-SHA-256 challenge)
  std::string build;          // hosts refuse peers of another build for moves; wire version is compared separately
  MemberId self = kNoMember;
  MemberState state = MemberState::Active;
  std::string bind_host = "127.0.0.1";
  uint16_t bind_port = 0;     // 0: any
  int64_t pool = 256ll << 20; // bytes
  double peer_timeout = 30;   // seconds
  int spin_us = 50;           // how long poll()ing waiters spin after traffic before they block
  std::optional<bool> share;  // memory with members on this machine, for what is said to them; unset: unless DMI_SHARED_MEMORY=0
};

class Member {
 public:
  // Listens at once (port() tells where) and starts one communication thread. Throws std::system_error.
  static std::unique_ptr<Member> start(MemberConfig config, MemberCallbacks callbacks);
  virtual ~Member() = default;

  virtual uint16_t port() const = 0;
  virtual void apply(ViewChange change) = 0;  // in epoch order
  virtual uint64_t epoch() const = 0;

  // True: complete, look at op->error (done is not called). False: done(op) will be called, perhaps already has been.
  virtual bool submit(Op* op) = 0;
  // Asks for a long operation to be given back. done(op) is called in any case: either completed normally, or with
  // op->parked set: its place in the queue is kept until resume().
  virtual void park(Op* op) = 0;
  // Continues a parked operation here, on whichever member its thread now is. op->waiter and the arguments are those of
  // the original; the buffers are this member's. As submit().
  virtual bool resume(Op* op) = 0;
  virtual void function_done(FunctionCall* call) = 0;

  // Hot paths; see the head of this file. 1: done, 0: use submit().
  virtual int try_read(GlobalAddr addr, int64_t size, void* to, Mode mode) noexcept = 0;
  virtual int try_write(GlobalAddr addr, int64_t size, const void* from, Mode mode) noexcept = 0;
  virtual int try_fad(GlobalAddr addr, int64_t add, int64_t* fetched) noexcept = 0;

  // Barrier and allreduce arrivals are combined here while other threads of this host may still arrive. A host calls
  // this whenever a worker runs out of runnable threads: partial arrivals go out. Cheap when there are none.
  virtual void flush() = 0;
  virtual bool wants_flush() const noexcept = 0;
  // Does pending network work on the calling thread, waiting at most `spin_us` for some to arrive. Idle workers call it
  // before they block, so that an answer finds its waiter awake. Returns whether anything was processed.
  virtual bool poll(int spin_us) = 0;

  // A small opaque message to another member's `app` callback: ordered per pair, queued until it can be delivered.
  virtual void send_app(MemberId to, std::span<const std::byte> bytes) = 0;
  // A new authenticated connection to a member's `stream` callback. Blocks. Returns the descriptor or -errno.
  virtual int open_stream(MemberId to, std::string_view service, std::span<const std::byte> extra, double timeout) = 0;

  // Give everything away (state Draining must have come with a view first); `drained` is called when nothing is left.
  virtual void drain() = 0;
  virtual MemberStats stats() const = 0;
  virtual std::vector<MemberInfo> members() const = 0;
};

}  // namespace dmi::memory
