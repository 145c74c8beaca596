// The engine's state and the names of its parts. Each part is one file:
//
//   engine.cc      entry points, the way of a message in and out (batches, frames to ourselves, views from the future)
//   requester.cc   an operation is split into pages and sent to where they are; answers come together
//   owner.cc       what an owner does with its pages: reads, writes, acknowledgements, functions
//   ownership.cc   how a page comes to a member and leaves it
//   sharer.cc      what a sharer does with its copies: fetch, invalidate, stage, commit, watch
//   directory.cc   what a home does: first touch, forwarding, serialising transfers
//   mappings.cc    the mapping authority, and what everybody knows of mappings
//   sync.cc        mutexes, conditions, events, mailboxes at their home; parking
//   barrier.cc     barriers and allreduce: combining here, completing at the home
//   waiting.cc     the waiting side of synchronisation operations
//   handoff.cc     shards change their home
//   drain.cc       a member gives everything away
//   pool.cc        a member keeps within its pool
//   hot.cc         try_*
//
// docs/protocol.md says why the races are safe. All of it runs under the caller's lock except hot.cc.
#pragma once
#include <atomic>
#include <array>
#include <cerrno>
#include <map>
#include <memory>
#include <set>
#include <unordered_map>
#include <utility>

#include "op_table.h"
#include "pack.h"
#include "page_work.h"
#include "pins.h"
#include "sync_objects.h"
#include "view.h"

namespace dmi::memory {

// A message put aside, to be handled again later.
struct Stored {
  MemberId from = kNoMember;
  std::vector<std::byte> head, body;
  template <class A> void fields(A& a) { a(from); a(head); a(body); }
};

// ---- an operation in progress at its requester ------------------------------------------------------------------------
struct OpPart {
  PageKey key = 0;
  uint64_t off = 0, len = 0;
  std::byte* to = nullptr;              // reads
  std::span<const std::byte> data;      // writes: what is to be sent
  PageFrame* incoming = nullptr;        // a whole page being received straight into its frame (see sink)
  MemberId sinking = kNoMember;         // that peer's body is being received into our buffer
  bool fetch = false;                   // counted in PageWork::fetches
  bool put_only = false;                // ownership was refused: run at the owner
  bool done = false;
};
struct OpProgress {
  Op* op = nullptr;
  uint64_t id = 0;
  uint32_t remaining = 0;
  int error = 0;
  // long operations
  uint64_t batch = 0;                   // the arrival batch this barrier arrival left in
  bool parking = false;                 // a Park is out
  bool resuming = false;                // a Resume is out: a Park must not overtake it
  bool park_wanted = false;
  uint8_t tries = 0;                    // of asking our own home
  bool morphed = false;                 // ask the mutex's home, not the condition's
  bool watching = false;
  bool counted = false;                 // in page_ops_
  size_t pieces_begun = 0;              // of the many that it has
  bool small = false;                   // every part is, as packs take them
};
struct OpState : OpProgress {
  std::string message;
  std::vector<OpPart> parts;
  std::vector<std::byte> scratch;       // bytes to send that are not in the caller's buffers; Watch: what was read

  // As new, but for the memory of a small operation, which the next one will use.
  void clear() {
    constexpr size_t kKeptParts = 16, kKeptBytes = 256;
    static_cast<OpProgress&>(*this) = {};
    message.clear();
    parts.clear();
    scratch.clear();
    if (parts.capacity() > kKeptParts) parts = {};
    if (scratch.capacity() > kKeptBytes) scratch = {};
  }
};

// ---- a home's part ---------------------------------------------------------------------------------------------------
struct Transferring {
  MemberId to = kNoMember;
  std::deque<Stored> queue;             // requests for the page, until the new owner reports
};
struct DirEntry {
  MemberId owner = kNoMember;
  std::unique_ptr<Transferring> transfer;  // null: idle
};
struct Unmapping {                      // a Munmap that waits for everybody
  MemberId requester = kNoMember;
  uint64_t op = 0;
  std::vector<Sharer> unacked;
  template <class A> void fields(A& a) { a(requester); a(op); a.list(unacked); }
};
struct MapInfo {
  int64_t page_size = 0, page_count = 0;
  template <class A> void fields(A& a) { a(page_size); a(page_count); }
};
struct Authority {
  uint32_t next_id = kRootMapping + 1;
  int64_t reserved = 0;                 // bytes of all mappings but the root page
  std::map<uint32_t, MapInfo> live;
  std::map<uint32_t, Unmapping> unmapping;
  std::map<MemberId, uint64_t> seen;    // (and a view they are in) who may know of mappings without being in our view yet
};
struct ShardContent {
  std::unordered_map<PageKey, DirEntry> pages;
  SyncObjects sync;
  std::unique_ptr<Authority> authority;  // shard 0
};
struct Shard {
  std::unique_ptr<ShardContent> here;   // non-null: this member is the home and has the state
  std::vector<std::byte> arriving;      // chunks of the state so far
  std::deque<Stored> waiting;           // requests that came before the state
};

// Data to be sent. `stable`: in the caller's buffer until the operation completes. `keep`: holds it alive. Neither: it is
// copied at once.
struct Data {
  Data() = default;
  Data(std::span<const std::byte> b, std::shared_ptr<const void> k = nullptr, bool s = false) : bytes(b), keep(std::move(k)), stable(s) {}
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> keep;
  bool stable = false;
};

class EngineImpl final : public Engine {
 public:
  explicit EngineImpl(EngineConfig config);
  ~EngineImpl() override;

  bool submit(Op* op, Outbox& out) override;
  void release(Outbox& out) override;
  void proceed(Outbox& out) override;
  void park(Op* op, Outbox& out) override;
  bool resume(Op* op, Outbox& out) override;
  void flush(Outbox& out) override;
  bool wants_flush() const noexcept override { return unflushed_.load(std::memory_order_relaxed) != 0; }
  void function_done(FunctionCall* call, Outbox& out) override;
  void apply(const ViewChange& change, Outbox& out) override;
  void drain(Outbox& out) override;
  void receive(MemberId from, std::span<const std::byte> head, std::span<const std::byte> body, Outbox& out) override;
  std::byte* sink(MemberId from, std::span<const std::byte> head, size_t body_size) override;
  int try_read(GlobalAddr addr, int64_t size, void* to, Mode mode) noexcept override;
  int try_write(GlobalAddr addr, int64_t size, const void* from, Mode mode) noexcept override;
  int try_fad(GlobalAddr addr, int64_t add, int64_t* fetched) noexcept override;
  MemberStats stats() const override;
  std::vector<MemberInfo> members() const override;
  uint64_t epoch() const override { return view_.epoch(); }
  std::string check(int level) const override;
  const char* holds_up_drain() const;
  std::string describe() const;         // for people who look for a bug
  // For the simulator: every page that is kept here, the objects of every shard that is here, and arrivals no object knows of.
  size_t arrivals_kept() const;
  template <class F> void each_page(F&& f) { store_.each_page(f); }
  template <class F> void each_shard_sync(F&& f) {
    for (auto& s : shards_)
      if (s.here) f(s.here->sync);
  }

 private:
  using Bytes = std::span<const std::byte>;

  // ---- engine.cc: messages
  struct Entry;  // one call from outside
  // Parts of page requests and answers to one member are collected into one message; any other message to that member
  // closes it first, so order is kept.
  struct Batch {
    MemberId to = kNoMember;
    MsgKind kind{};
    Packing pack;
    uint64_t since = 0;                 // Pack
    PageReq req;
    PageAns ans;
    std::vector<std::byte> small;       // data that was copied, in order
    struct Piece { Bytes stable; size_t small_at, small_size; std::shared_ptr<const void> keep; };
    std::vector<Piece> pieces;
    size_t bytes = 0;
    bool open = false;
  };
  template <class M> void send(MemberId to, const M& m, Data data = {}) { close(to); emit(to, m, std::move(data)); }
  template <class M> void emit(MemberId to, const M& m, Data data);
  void push_frame(MemberId to, Frame frame);
  Batch& batch_for(MemberId to);
  void add_part(MemberId to, const PageReq& head, const PagePart& part, Data data);
  void add_answer(MemberId to, uint64_t op, const PageAnsPart& part, Data data);
  void add_data(Batch& b, Data data);
  static bool takes(const Batch* b, const PageReq& head);           // one more part, or
  static bool takes(const Batch* b, uint64_t op);                   // one more answer
  // Into the pack to `to`; `batch` is null or the batch of the call before, and to the same member.
  Batch* begin_pack(MemberId to, MsgKind kind, size_t data);
  Batch* pack_for(Batch* batch, MemberId to, MsgKind kind, size_t data) {
    return batch && batch->kind == kind && batch->pack.has_room(data) ? batch : begin_pack(to, kind, data);
  }
  void close(MemberId to);
  void close(Batch& b);
  void pump();                          // closes batches and handles frames to ourselves until there are none
  void dispatch(MemberId from, Bytes head, Bytes body);
  template <class M> void handle(MemberId from, Bytes head, Bytes body);
  void handle_again(std::deque<Stored>& stored);
  static Stored store(MemberId from, Bytes head, Bytes body);
  void broke_protocol(MemberId from, const char* what);
  void log(int level, std::string line);
  // For a message that concerns one shard: true when this member is its home and has the state; otherwise it has been
  // forwarded, or put aside until the state or the view arrives.
  bool at_home(uint32_t shard, uint64_t epoch, MemberId from, Bytes head, Bytes body);
  template <class M> void to_home(uint32_t shard, const M& m, Bytes data = {});  // from here, or on behalf of someone

  // ---- requester.cc
  OpState& new_state(Op* op);
  OpState* state(uint64_t id);
  bool start(Op* op);                   // checks arguments; false: the operation has completed (with an error or at once)
  void start_resume(Op* op);
  void begin_page_op(Op* op);
  bool split(OpState& s, GlobalAddr addr, int64_t size, std::byte* to, const std::byte* from);
  bool split(OpState& s, const Piece& p);
  void start_parts(OpState& s, uint32_t begin);
  void proceed(OpState& s);
  void start_part(OpState& s, uint32_t index);
  PageReq request(const OpState& s, bool fetch) const;  // without parts
  void send_part(OpState& s, uint32_t index);
  PageTask local_task(OpState& s, uint32_t index);
  void finish_part(OpState& s, uint32_t index, int error, Bytes data, bool placed = false);
  void complete(OpState& s);
  void complete_now(Op* op, int error, std::string message);
  void fail_op(OpState& s, int error, std::string message);
  void on(MemberId from, uint64_t epoch, PageAns& m, Bytes data);
  void on(MemberId from, uint64_t epoch, PackAns& m, Bytes items);
  size_t answer_bytes(const OpState& s, const OpPart& p) const;
  MemberId route(Mapping& m, PageKey key) const;

  // ---- owner.cc
  void on(MemberId from, uint64_t epoch, PageReq& m, Bytes data);
  void on(MemberId from, uint64_t epoch, Pack& m, Bytes items);
  void on(MemberId from, uint64_t epoch, Ack& m, Bytes data);
  struct Requested;
  std::byte* sink_page(MemberId from, Bytes head, size_t body_size);
  bool serve_at_rest(Requested& r, const PagePart& part, Bytes data);
  bool serve(Requested& r, const PagePart& part, Bytes data);  // false: the peer broke the protocol
  void accept(Page& p, PageTask task);  // runs it now or queues it
  void run(Page& p, PageTask& task);
  void run_queue(Page& p);
  void read_page(Page& p, PageTask& task);
  void write_page(Page& p, PageTask& task);
  void commit_write(Page& p);
  void start_function(Page& p);
  void answer(PageTask& t, int error, uint64_t ver = 0, Data data = {});
  PageWork& work(Page& p);
  void refresh(Page& p);                // sets what hot paths may do
  void tidy(Page& p);                   // p may be gone afterwards
  static uint32_t data_bytes(const PageReq& r, uint64_t len);

  // ---- ownership.cc
  void on(MemberId from, uint64_t epoch, Transfer& m, Bytes data);
  void on(MemberId from, uint64_t epoch, PageMove& m, Bytes data);
  void on(MemberId from, uint64_t epoch, Granted& m, Bytes data);
  PageFrame* zeros(const Mapping& m, bool learned = false);
  void become_owner(Page& p, PageFrame* frame, uint64_t ver, std::vector<Sharer> sharers);
  void acquire(Page& p, MemberId from = kNoMember);
  void hand_over(Page& p, MemberId to);
  void reroute(PageTask& t, PageKey key, MemberId to);
  void forget_gone();

  // ---- sharer.cc
  void on(MemberId from, uint64_t epoch, Invalidate& m, Bytes data);
  void on(MemberId from, uint64_t epoch, Stage& m, Bytes data);
  void on(MemberId from, uint64_t epoch, Commit& m, Bytes data);
  void install_copy(Page& p, uint64_t ver, PageFrame* frame);
  void drop_copy(Page& p);
  void apply_staged(Page& p, uint64_t upto);
  void serve_readers(Page& p);
  void wake_watchers(Page& p);
  void start_watch(OpState& s);
  void check_watch(OpState& s);
  void stop_watch(OpState& s);

  // ---- directory.cc
  void home_part(const PageReq& head, const PagePart& part, Bytes data, uint64_t epoch, MemberId from);
  void serve_part(ShardContent& shard, const PageReq& head, const PagePart& part, Bytes data, MemberId from);
  void on(MemberId from, uint64_t epoch, Acquire& m, Bytes data);
  void on(MemberId from, uint64_t epoch, Owned& m, Bytes data);
  MemberId first_owner(PageKey key) const;
  void start_transfer(ShardContent& shard, DirEntry& e, PageKey key, MemberId to);
  void answer_error(MemberId requester, uint64_t op, uint32_t index, int error);
  Stored store_part(const PageReq& head, const PagePart& part, Bytes data, uint64_t epoch, MemberId from) const;
  bool is_here(uint32_t shard) const { return shards_[shard].here != nullptr; }

  // ---- mappings.cc
  void on(MemberId from, uint64_t epoch, MapReq& m, Bytes data);
  void on(MemberId from, uint64_t epoch, MapAns& m, Bytes data);
  void on(MemberId from, uint64_t epoch, Unmap& m, Bytes data);
  void on(MemberId from, uint64_t epoch, UnmapAck& m, Bytes data);
  void start_mmap(Op* op);
  void start_munmap(Op* op);
  void look_up(uint32_t id);
  Mapping* learn(uint32_t id, int64_t page_size, int64_t page_count);  // by the way; null: it makes no sense, or is dead
  void bury(uint32_t id);               // the mapping is dead: drop everything of it
  void unmap_acked(Authority& a, uint32_t id, MemberId member);
  void forget_unmapping(Authority& a);

  // ---- waiting.cc
  void start_sync(Op* op);
  void ask(OpState& s, SyncReq& r);
  void finish_sync(OpState& s, int error, int64_t value, Bytes data);
  void on(MemberId from, uint64_t epoch, SyncAns& m, Bytes data);
  void retry_parks();
  void send_park(OpState& s, SyncKind kind);
  void complete_parked(OpState& s, bool keep_place);
  static std::string sync_error(const Op& op, int error);

  // ---- sync.cc
  void on(MemberId from, uint64_t epoch, SyncReq& m, Bytes data);
  void sync_to_home(SyncReq& m, Bytes data = {});
  void serve_sync(ShardContent& shard, SyncReq& m, Bytes data);
  void grant(SyncObjects& s, const Waiter& w, int error, int64_t value, Bytes data = {});
  void reply(MemberId to, uint64_t id, SyncAns::What what, int error, int64_t value, Bytes data = {}, std::vector<uint64_t> except = {});
  bool serve_at_once(Op& op);
  ShardContent* home_of_name(uint64_t name);  // if that is this member, and it has the state
  void pass_mutex(SyncObjects& s, uint64_t addr);
  bool park_waiter(SyncObjects& s, const SyncReq& m);
  bool resume_waiter(SyncObjects& s, const SyncReq& m);
  void forget_waiters(SyncObjects& s, uint32_t mapping);

  // ---- barrier.cc
  struct LocalBarrier {
    std::vector<Op*> arrived;           // they get a state, and with it a place that can be kept, when they are sent
    bool alike = true;                  // in kind, pnum and what they reduce
    bool kept = false;                  // this member is the home: they need not be sent before strangers come or `due` are here
    uint32_t due = 0;                   // kept: with so many the home's object completes; fewer if they do not fit it
  };
  bool arrive_at_once(Op& op);
  void start_barrier(Op* op);
  bool complete_here(uint64_t name, const std::vector<Op*>& all);
  uint32_t arrivals_due(const SyncObjects& s, const Op& first) const;
  void flush_travelling();
  void flush_mapping(uint32_t mapping);
  void arrive(SyncObjects& s, const SyncReq& m, Bytes values);
  void complete_barrier(SyncObjects& s, uint64_t name);
  void flush_barrier(uint64_t name);
  void released(const SyncAns& m, Bytes data);
  bool withdraw(Op* op);

  // ---- handoff.cc
  void on(MemberId from, uint64_t epoch, ShardState& m, Bytes data);
  void hand_off(uint32_t shard, MemberId to);
  std::vector<std::byte> encode_shard(ShardContent& c) const;
  bool decode_shard(Bytes in, ShardContent& c);

  // ---- drain.cc
  void on(MemberId from, uint64_t epoch, DrainNotice& m, Bytes data);
  void on(MemberId from, uint64_t epoch, DrainReady& m, Bytes data);
  void on(MemberId from, uint64_t epoch, Offer& m, Bytes data);
  void on(MemberId from, uint64_t epoch, OfferAns& m, Bytes data);
  void begin_drain();
  void push_pages();
  void check_drained();

  // ---- pool.cc
  void keep_within_pool();
  void evict(Page& p);
  void swap_out(Page& p);
  void invite();
  void swap_anew();
  int64_t room() const;
  MemberId settle_offer(Page& p);
  void pin(const Op& op);
  bool may_own() const { return self_state_ == MemberState::Active && !drain_asked_; }

  // ---- state
  EngineConfig config_;
  MemberId self_;
  MemberState self_state_;
  Outbox* out_ = nullptr;
  Op* submitting_ = nullptr;
  bool submitted_done_ = false;

  View view_;
  PageStore store_;
  std::vector<Shard> shards_;
  OpTable<OpState> ops_;
  uint32_t page_ops_ = 0;               // of those: reads, writes and read-modify-writes of which answers are due
  uint64_t next_op_ = 1;
  std::deque<uint64_t> begun_ops_;      // operations of which not every piece has been begun
  std::vector<Op*> early_;              // submitted before the first view
  std::vector<std::pair<uint64_t, Stored>> future_;  // messages whose meaning needs a newer view, by epoch

  std::deque<Stored> local_;            // frames to ourselves
  decltype(SyncObjects::mutexes)::node_type spare_mutex_;  // of the mutex that was last given up: the next one's memory
  std::map<MemberId, Batch> batches_;   // until a view in which the member is gone
  std::vector<Batch*> open_;            // those that are open
  bool begun_ = false;                  // one has been begun since pump() looked at them
  bool hold_ = false;                   // packs of operations may stay open until release()

  struct LookUp { std::vector<Op*> ops; std::deque<Stored> messages; };
  std::map<uint32_t, LookUp> lookups_;

  // A whole page that a member writes is received into a frame of its own, which then takes the place of the page's.
  struct Release {
    void operator()(PageFrame* frame) const { frame->unref(); }
  };
  using FramePtr = std::unique_ptr<PageFrame, Release>;
  std::map<MemberId, FramePtr> sunk_;   // by who sends it
  FramePtr arrived_;                    // of the message being handled
  std::set<Page*> busy_;                // owned pages that wait for acknowledgements
  std::map<uint64_t, LocalBarrier> barriers_;               // by address: arrivals not yet sent
  std::vector<Op*> spare_arrived_;      // empty; kept for its memory
  std::unordered_map<uint64_t, std::vector<OpState*>> batches_out_;  // arrivals sent, by batch
  std::atomic<int64_t> unflushed_{0};   // those that are not kept

  bool drain_asked_ = false, draining_ = false, drained_ = false, pushing_ = false;
  std::set<MemberId> drain_wait_;       // members that have not answered our DrainNotice
  int64_t offers_out_ = 0, offered_bytes_ = 0;
  std::map<PageKey, uint32_t> refusals_;
  int64_t accepted_bytes_ = 0;          // of pages that we acquire because they were offered
  Pins pins_;
  size_t clock_hand_ = 0;               // the next page to be looked at when there is no room
  uint32_t swap_rest_ = 0;              // events until owned pages are offered again
  std::map<MemberId, int64_t> refused_; // members whose pages had no room here, and how many bytes the first of them wanted
  uint64_t acquiring_ = 0;              // pages with an Acquire on its way
  std::vector<uint64_t> rewatch_;       // Watch operations whose pages have changed
  std::vector<uint64_t> retry_parks_;   // parks and resumes that our own home does not know yet: at the next event

  MemberStats stats_{};
};

std::string text(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace dmi::memory
