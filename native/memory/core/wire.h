// The wire format of the memory engine: one head per frame, and page data either inline behind the head or in the body.
//
//   head := kind u8 | flags u8 | reserved u16 = 0 | epoch u64 | fields of the message | data, when flags has kInline
//
// Everything is little-endian and of fixed width. `epoch` is the sender's view; it stands at a fixed place because a
// message on its way to a home is forwarded with a newer one. A list is a u32 count and its elements. Decoding checks
// every count against the bytes that are there; what a message means (addresses, members, lengths of data) is checked by
// the handler that uses it.
#pragma once
#include <bit>
#include <cstring>
#include <type_traits>

#include "engine.h"

namespace dmi::memory {

static_assert(std::endian::native == std::endian::little, "the wire format is written by memcpy");

// mapping id << 40 | page index. Also what pages are hashed by.
using PageKey = uint64_t;
constexpr int kOffsetBits = 40;                 // a mapping is at most 1 TiB
constexpr uint64_t kOffsetMask = (1ull << kOffsetBits) - 1;
constexpr uint32_t kMaxMapping = (1u << 23) - 1;  // so that a GlobalAddr stays positive
// The root page: a mapping that every member knows from the start and that never ends (DMI_ROOT_ADDRESS in gate/gate.h).
constexpr uint32_t kRootMapping = 1;
constexpr int64_t kRootPageSize = 4096;
constexpr int64_t kFunctionData = 64ll << 20;   // bytes of a function's argument, or of its result, at most: the owner makes room for them

inline bool possible(PageKey key) { return key >> kOffsetBits != 0 && key >> kOffsetBits <= kMaxMapping; }

enum class MsgKind : uint8_t {
  PageReq = 1, PageAns = 2, Acquire = 3, Transfer = 4, PageMove = 5, Owned = 6, Granted = 7,
  Invalidate = 8, Stage = 9, Ack = 10, Commit = 11,
  MapReq = 12, MapAns = 13, Unmap = 14, UnmapAck = 15,
  SyncReq = 16, SyncAns = 17,
  ShardState = 18, DrainNotice = 19, DrainReady = 20, Offer = 21, OfferAns = 22,
  Pack = 23, PackAns = 24,
};
constexpr uint8_t kInline = 1;           // flags: the data follows the head's fields
constexpr size_t kHeadFixed = 12;        // bytes before the message's own fields
constexpr size_t kInlineLimit = 1024;    // bytes of data that travel in the head
constexpr size_t kEpochAt = 4;

// Where encoded bytes go: to the end of a vector, or into memory that is known to be large enough, or only into account.
struct Appending {
  std::vector<std::byte>& out;
  void put(const void* p, size_t n) {
    const auto at = out.size();
    out.resize(at + n);
    std::memcpy(out.data() + at, p, n);
  }
};
struct Placing {
  std::byte* at;
  void put(const void* p, size_t n) {
    std::memcpy(at, p, n);
    at += n;
  }
};
struct Counting {
  size_t size = 0;
  void put(const void*, size_t n) { size += n; }
};

template <class To> class Encoder {
 public:
  explicit Encoder(To to) : to_(to) {}
  static constexpr bool kReading = false;
  template <class T> void operator()(const T& v) {
    static_assert(std::is_trivially_copyable_v<T> && (std::is_integral_v<T> || std::is_enum_v<T>));
    to_.put(&v, sizeof(T));
  }
  void operator()(const bool& v) { (*this)(static_cast<uint8_t>(v)); }
  void operator()(const std::string& s) { bytes(s.data(), s.size()); }
  void operator()(const std::vector<std::byte>& b) { bytes(b.data(), b.size()); }
  template <class T> void list(const std::vector<T>& v) {
    (*this)(static_cast<uint32_t>(v.size()));
    for (auto& x : v) element(x);
  }
  template <class T> void element(const T& x) {
    if constexpr (std::is_integral_v<T> || std::is_enum_v<T>) (*this)(x);
    else const_cast<T&>(x).fields(*this);
  }
  void bytes(const void* p, size_t n) {
    (*this)(static_cast<uint32_t>(n));
    raw(p, n);
  }
  void raw(const void* p, size_t n) {
    if (n > 0) to_.put(p, n);
  }
  const To& to() const { return to_; }

 private:
  To to_;
};
class Writer : public Encoder<Appending> {
 public:
  explicit Writer(std::vector<std::byte>& out) : Encoder(Appending{out}) {}
};

// Reads what Writer wrote. After the first short or impossible field everything reads as zero and ok() is false.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> in) : in_(in) {}
  static constexpr bool kReading = true;
  template <class T> void operator()(T& v) {
    static_assert(std::is_integral_v<T> || std::is_enum_v<T>);
    if (in_.size() < sizeof(T)) { fail(); v = T{}; return; }
    std::memcpy(&v, in_.data(), sizeof(T));
    in_ = in_.subspan(sizeof(T));
  }
  void operator()(bool& v) { uint8_t b; (*this)(b); v = b != 0; if (b > 1) fail(); }
  void operator()(std::string& s) { auto b = bytes(); s.assign(reinterpret_cast<const char*>(b.data()), b.size()); }
  void operator()(std::vector<std::byte>& v) { auto b = bytes(); v.assign(b.begin(), b.end()); }
  template <class T> void list(std::vector<T>& v) {
    uint32_t n = 0;
    (*this)(n);
    if (n > in_.size()) { fail(); n = 0; }  // every element takes at least one byte
    v.clear();
    v.reserve(std::min<size_t>(n, in_.size() / 4 + 1));
    for (uint32_t i = 0; i < n && ok_; i++) { v.emplace_back(); element(v.back()); }
    if (!ok_) v.clear();
  }
  template <class T> void element(T& x) {
    if constexpr (std::is_integral_v<T> || std::is_enum_v<T>) (*this)(x);
    else x.fields(*this);
  }
  std::span<const std::byte> bytes() {
    uint32_t n = 0;
    (*this)(n);
    if (n > in_.size()) { fail(); return {}; }
    auto b = in_.first(n);
    in_ = in_.subspan(n);
    return b;
  }
  bool ok() const { return ok_; }
  std::span<const std::byte> rest() const { return in_; }
  void fail() { ok_ = false; in_ = {}; }

 private:
  std::span<const std::byte> in_;
  bool ok_ = true;
};

// ---- messages ------------------------------------------------------------------------------------------------------
// Each names its sender -> receiver. Fields are written in the order of fields().

// One page's part of an operation. `index` is the requester's name for it.
struct PagePart {
  uint32_t index = 0;
  PageKey key = 0;
  uint64_t off = 0, len = 0;   // bytes within the page
  template <class A> void fields(A& a) { a(index); a(key); a(off); a(len); }
};
// requester -> owner (by hint) or home; wrong owner -> home; home -> owner. Data: what the parts write, in order.
struct PageReq {
  static constexpr MsgKind kKind = MsgKind::PageReq;
  static constexpr uint8_t kViaHome = 1;  // sent by the home: the receiver is the owner, or is about to be
  static constexpr uint8_t kCreate = 2;   // the receiver becomes the owner of a page of zeros (first touch)
  MemberId requester = kNoMember;
  uint64_t since = 0;          // the requester is a member in this epoch (see View::is_gone)
  uint64_t op = 0;
  OpKind kind = OpKind::Read;
  Mode mode = Mode::Get;
  uint8_t flags = 0;
  int32_t tag = 0;             // Function
  uint32_t in_size = 0;        // Function: bytes of argument
  uint32_t out_size = 0;       // Function: bytes of result
  int64_t page_size = 0, page_count = 0;  // of the mapping, with kCreate
  std::vector<PagePart> parts;
  template <class A> void fields(A& a) {
    a(requester); a(since); a(op); a(kind); a(mode); a(flags); a(tag); a(in_size); a(out_size); a(page_size); a(page_count);
    a.list(parts);
  }
};
struct PageAnsPart {
  uint32_t index = 0;
  int32_t error = 0;
  uint64_t ver = 0;            // version of the page's content
  uint64_t bytes = 0;          // of data
  template <class A> void fields(A& a) { a(index); a(error); a(ver); a(bytes); }
};
// owner -> requester. Data: results, in order; a caching read brings the whole page.
struct PageAns {
  static constexpr MsgKind kKind = MsgKind::PageAns;
  uint64_t op = 0;
  MemberId owner = kNoMember;  // where to go next time
  std::vector<PageAnsPart> parts;
  template <class A> void fields(A& a) { a(op); a(owner); a.list(parts); }
};
// would-be owner -> home
struct Acquire {
  static constexpr MsgKind kKind = MsgKind::Acquire;
  MemberId requester = kNoMember;
  MemberId from = kNoMember;   // only when this member is the owner (pages offered by a draining member)
  PageKey key = 0;
  template <class A> void fields(A& a) { a(requester); a(from); a(key); }
};
// home -> owner: hand the page to `to`
struct Transfer {
  static constexpr MsgKind kKind = MsgKind::Transfer;
  PageKey key = 0;
  MemberId to = kNoMember;
  template <class A> void fields(A& a) { a(key); a(to); }
};
struct Sharer {
  MemberId member = kNoMember;
  bool update = false;         // UPDATE mode; otherwise INVALIDATE
  uint64_t since = 0;          // it is a member in this epoch
  template <class A> void fields(A& a) { a(member); a(update); a(since); }
};
// old owner -> new owner. Data: the page.
struct PageMove {
  static constexpr MsgKind kKind = MsgKind::PageMove;
  PageKey key = 0;
  uint64_t ver = 0;
  int64_t page_size = 0, page_count = 0;
  std::vector<Sharer> sharers;
  template <class A> void fields(A& a) { a(key); a(ver); a(page_size); a(page_count); a.list(sharers); }
};
// new owner -> home: the transfer is complete
struct Owned {
  static constexpr MsgKind kKind = MsgKind::Owned;
  MemberId owner = kNoMember;
  PageKey key = 0;
  template <class A> void fields(A& a) { a(owner); a(key); }
};
// home -> would-be owner, when no transfer is needed
struct Granted {
  static constexpr MsgKind kKind = MsgKind::Granted;
  enum What : uint8_t { Create, Already, Refused };
  PageKey key = 0;
  What what = Create;          // Create: own a page of zeros; Already: you own it; Refused: `from` does not own it
  int64_t page_size = 0, page_count = 0;
  template <class A> void fields(A& a) { a(key); a(what); a(page_size); a(page_count); }
};
// owner -> INVALIDATE sharer: copies older than `ver` are void
struct Invalidate {
  static constexpr MsgKind kKind = MsgKind::Invalidate;
  PageKey key = 0;
  uint64_t ver = 0;
  template <class A> void fields(A& a) { a(key); a(ver); }
};
// owner -> UPDATE sharer. Data: the bytes that version `ver` writes at `off`.
struct Stage {
  static constexpr MsgKind kKind = MsgKind::Stage;
  PageKey key = 0;
  uint64_t ver = 0, off = 0;
  bool commit = false;         // the only sharer: apply at once
  template <class A> void fields(A& a) { a(key); a(ver); a(off); a(commit); }
};
struct Ack {                   // sharer -> owner, of an Invalidate or Stage
  static constexpr MsgKind kKind = MsgKind::Ack;
  PageKey key = 0;
  uint64_t ver = 0;
  bool held = false;           // still has a copy
  template <class A> void fields(A& a) { a(key); a(ver); a(held); }
};
struct Commit {                // owner -> UPDATE sharer: show everything staged up to `ver`
  static constexpr MsgKind kKind = MsgKind::Commit;
  PageKey key = 0;
  uint64_t ver = 0;
  template <class A> void fields(A& a) { a(key); a(ver); }
};
// anyone -> mapping authority (home of shard 0)
struct MapReq {
  static constexpr MsgKind kKind = MsgKind::MapReq;
  enum What : uint8_t { Map, Unmap, Lookup };
  What what = Map;
  MemberId requester = kNoMember;
  uint64_t since = 0;          // the requester is a member in this epoch
  uint64_t op = 0;
  uint32_t id = 0;
  int64_t page_size = 0, page_count = 0;
  template <class A> void fields(A& a) { a(what); a(requester); a(since); a(op); a(id); a(page_size); a(page_count); }
};
struct MapAns {
  static constexpr MsgKind kKind = MsgKind::MapAns;
  MapReq::What what = MapReq::Map;
  uint64_t op = 0;
  uint32_t id = 0;
  int32_t error = 0;
  int64_t page_size = 0, page_count = 0;
  std::string text;
  template <class A> void fields(A& a) { a(what); a(op); a(id); a(error); a(page_size); a(page_count); a(text); }
};
struct Unmap {                 // authority -> everyone: the mapping is gone, drop all of it
  static constexpr MsgKind kKind = MsgKind::Unmap;
  uint32_t id = 0;
  template <class A> void fields(A& a) { a(id); }
};
struct UnmapAck {              // everyone -> authority
  static constexpr MsgKind kKind = MsgKind::UnmapAck;
  MemberId member = kNoMember;
  uint32_t id = 0;
  template <class A> void fields(A& a) { a(member); a(id); }
};
// What a SyncReq asks, beyond the operations of OpKind.
enum class SyncKind : uint8_t {
  CondRelease = 64,            // condition's home -> mutex's home: the waiter sleeps now, release its mutex
  MutexEnqueue = 65,           // condition's home -> mutex's home: the waiter was signalled, let it take the mutex
  CondReject = 66,             // mutex's home -> condition's home: the waiter did not hold the mutex
  Park = 67, Resume = 68,
};
// member -> home of a synchronisation object, and between homes. Data: a post's bytes, or allreduce values (8 B each).
struct SyncReq {
  static constexpr MsgKind kKind = MsgKind::SyncReq;
  uint8_t kind = 0;            // OpKind or SyncKind
  uint8_t subject = 0;         // Park, Resume: the OpKind of the waiting operation
  bool parked = false;         // MutexEnqueue: the waiter is parked
  MemberId member = kNoMember; // where the waiter is
  uint64_t since = 0;          // which is a member in this epoch
  uint64_t id = 0;             // waiter, operation or arrival batch
  uint64_t batch = 0;          // Park, Resume: the arrival batch the waiter was part of
  uint64_t name = 0;           // the object: its address, or the thread of an event or mailbox
  uint64_t name2 = 0;          // CondWait: the mutex. CondRelease, CondReject: the condition
  ThreadKey thread = 0;
  int64_t value = 0;           // EventSet
  uint32_t pnum = 0, count = 0;
  ReduceOp op = ReduceOp::Sum;
  ReduceType type = ReduceType::Double;
  template <class A> void fields(A& a) {
    a(kind); a(subject); a(parked); a(member); a(since); a(id); a(batch); a(name); a(name2); a(thread); a(value); a(pnum); a(count);
    a(op); a(type);
  }
};
struct SyncAns {
  static constexpr MsgKind kKind = MsgKind::SyncAns;
  enum What : uint8_t { Done, Release, Parked, Resumed, Unknown };
  What what = Done;
  uint64_t id = 0;
  int32_t error = 0;
  int64_t value = 0;           // Release: how many of the batch go on
  std::vector<uint64_t> except;  // Release: waiters of the batch that are parked and stay so
  template <class A> void fields(A& a) { a(what); a(id); a(error); a(value); a.list(except); }
};
// old home -> new home. Data: a part of the shard's encoded state (core/handoff.cc).
struct ShardState {
  static constexpr MsgKind kKind = MsgKind::ShardState;
  uint32_t shard = 0;
  bool last = false;
  template <class A> void fields(A& a) { a(shard); a(last); }
};
struct DrainNotice {           // draining member -> everyone: tell me when you have seen view `epoch`
  static constexpr MsgKind kKind = MsgKind::DrainNotice;
  uint64_t epoch = 0;
  template <class A> void fields(A& a) { a(epoch); }
};
struct DrainReady {
  static constexpr MsgKind kKind = MsgKind::DrainReady;
  uint64_t epoch = 0;
  template <class A> void fields(A& a) { a(epoch); }
};
struct Offer {                 // draining owner -> active member: please acquire these
  static constexpr MsgKind kKind = MsgKind::Offer;
  bool force = false;          // nobody had room: take them all the same
  int64_t bytes = 0;
  std::vector<PageKey> keys;
  template <class A> void fields(A& a) { a(force); a(bytes); a.list(keys); }
};
struct OfferAns {              // only for the keys that were refused; without keys: there is room again, offer what is too much
  static constexpr MsgKind kKind = MsgKind::OfferAns;
  std::vector<PageKey> keys;
  template <class A> void fields(A& a) { a.list(keys); }
};
// requester -> owner, by hint. Data: `count` small operations (pack.h), as PageReq of Mode::Get and Mode::Put would ask for.
struct Pack {
  static constexpr MsgKind kKind = MsgKind::Pack;
  uint64_t since = 0;          // the sender is a member in this epoch
  uint32_t count = 0;
  template <class A> void fields(A& a) { a(since); a(count); }
};
// owner -> requester, of operations that came in a Pack. Data: `count` answers (pack.h).
struct PackAns {
  static constexpr MsgKind kKind = MsgKind::PackAns;
  uint32_t count = 0;
  template <class A> void fields(A& a) { a(count); }
};

// ---- heads -----------------------------------------------------------------------------------------------------------
struct HeadFixed {
  MsgKind kind{};
  uint8_t flags = 0;
  uint64_t epoch = 0;
};
// False when it is too short or not ours.
inline bool read_fixed(std::span<const std::byte> head, HeadFixed& h) {
  if (head.size() < kHeadFixed) return false;
  uint16_t reserved;
  std::memcpy(&h.kind, head.data(), 1);
  std::memcpy(&h.flags, head.data() + 1, 1);
  std::memcpy(&reserved, head.data() + 2, 2);
  std::memcpy(&h.epoch, head.data() + kEpochAt, 8);
  return reserved == 0 && (h.flags & ~kInline) == 0;
}
template <class M, class To> To encode_to(To to, const M& m, uint64_t epoch, uint8_t flags) {
  Encoder encoder(to);
  encoder(M::kKind); encoder(flags); encoder(uint16_t{0}); encoder(epoch);
  const_cast<M&>(m).fields(encoder);
  return encoder.to();
}
template <class M> size_t encoded_size(const M& m) { return encode_to(Counting{}, m, 0, 0).size; }
// `extra`: bytes that the caller will append.
template <class M> std::vector<std::byte> encode(const M& m, uint64_t epoch, uint8_t flags = 0, size_t extra = 0) {
  const size_t size = encoded_size(m);
  std::vector<std::byte> head;
  head.reserve(size + extra);
  head.resize(size);
  encode_to(Placing{head.data()}, m, epoch, flags);
  return head;
}
// Decodes the message and finds its data: inline or the body. False: malformed.
template <class M> bool decode(std::span<const std::byte> head, std::span<const std::byte> body, M& m,
                               std::span<const std::byte>& data) {
  HeadFixed h;
  if (!read_fixed(head, h) || h.kind != M::kKind) return false;
  Reader r(head.subspan(kHeadFixed));
  m.fields(r);
  if (!r.ok()) return false;
  if (h.flags & kInline) {
    if (!body.empty()) return false;
    data = r.rest();
    return true;
  }
  data = body;
  return r.rest().empty();
}

}  // namespace dmi::memory
