// Packs: many small operations in one message to the owner, and many small answers in one message back.
//
//   Pack data    := { flags u8 | kind u8 | len u16 | off u32 | [op u64] | [key u64] | [index u32] | what it writes } ...
//   PackAns data := { flags u8 | error u8 | len u16 | [op u64] | [index u32] | len bytes of result } ...
//
// What is the same as in the item before is left out: flags say what is there. Without kIndex the index is 0 in an item that
// names its operation, and the one after that of the item before in others. So the next 8 bytes of a long read cost 8 bytes in
// the request and 4 + 8 in the answer. Reads are plain ones (Mode::Get), everything else is Mode::Put.
#pragma once
#include <algorithm>

#include "wire.h"

namespace dmi::memory {

constexpr size_t kPackLimit = 1024;       // bytes that an operation in a pack reads or writes
constexpr size_t kPackBytes = 24 << 10;   // of a pack: its receiver works on it while the next one is on the wire
constexpr uint32_t kPackItems = 1024;

constexpr uint8_t kItemOp = 1, kItemKey = 2, kItemIndex = 4;

struct PackItem {
  uint64_t op = 0;
  PageKey key = 0;
  uint32_t index = 0;          // of the part, at the requester
  uint32_t off = 0;            // bytes within the page
  uint16_t len = 0;
  OpKind kind = OpKind::Read;

  static bool takes(OpKind kind) {
    return kind == OpKind::Read || kind == OpKind::Write || kind == OpKind::Cas || kind == OpKind::Fas || kind == OpKind::Fad;
  }
  size_t data_size() const {
    switch (kind) {
      case OpKind::Write: case OpKind::Fas: return len;
      case OpKind::Cas: return 2 * size_t{len};
      case OpKind::Fad: return 8;
      default: return 0;
    }
  }
};
struct PackedAnswer {
  uint64_t op = 0;
  uint32_t index = 0;
  uint8_t error = 0;
  uint16_t len = 0;            // bytes of result
};

// A pack being filled, behind room for the message's head. Its memory is used again.
class Packing {
 public:
  void begin(size_t head) {
    used_ = head;
    count_ = 0;
    op_ = key_ = 0;
    index_ = 0;
    reach(head);
  }
  bool has_room(size_t data) const { return count_ < kPackItems && used_ + data <= kPackBytes; }
  uint32_t count() const { return count_; }
  // Returns where the item's data goes, at once.
  std::byte* add(const PackItem& i) {
    uint8_t flags = named(i.op, i.index);
    if (i.key != key_ || count_ == 0) flags |= kItemKey;
    key_ = i.key;
    auto* to = grow(8, flags, i.data_size());
    const uint64_t fixed = flags | uint64_t{static_cast<uint8_t>(i.kind)} << 8 | uint64_t{i.len} << 16 | uint64_t{i.off} << 32;
    put(to, fixed);
    return flags ? rest(to, flags, i.op, i.key, i.index) : to;
  }
  std::byte* add(const PackedAnswer& a) {
    const uint8_t flags = named(a.op, a.index);
    auto* to = grow(4, flags, a.len);
    const uint32_t fixed = flags | uint32_t{a.error} << 8 | uint32_t{a.len} << 16;
    put(to, fixed);
    return flags ? rest(to, flags, a.op, 0, a.index) : to;
  }
  std::byte* head() { return bytes_.data(); }
  std::vector<std::byte> copy() const { return {bytes_.begin(), bytes_.begin() + static_cast<ptrdiff_t>(used_)}; }

 private:
  template <class T> static void put(std::byte*& to, T v) {
    std::memcpy(to, &v, sizeof v);
    to += sizeof v;
  }
  uint8_t named(uint64_t op, uint32_t index) {
    uint8_t flags = 0;
    if (op != op_ || count_ == 0) flags |= kItemOp;
    if (index != (flags & kItemOp ? 0 : index_ + 1)) flags |= kItemIndex;
    op_ = op;
    index_ = index;
    return flags;
  }
  void reach(size_t size) {
    if (size > bytes_.size()) bytes_.resize(std::max(size, std::min(2 * size, kPackBytes + kPackLimit)));
  }
  std::byte* grow(size_t fixed, uint8_t flags, size_t data) {
    const size_t at = used_;
    used_ += fixed + data;
    if (flags) used_ += (flags & kItemOp ? 8 : 0) + (flags & kItemKey ? 8 : 0) + (flags & kItemIndex ? 4 : 0);
    reach(used_);
    count_++;
    return bytes_.data() + at;
  }
  static std::byte* rest(std::byte* to, uint8_t flags, uint64_t op, PageKey key, uint32_t index) {
    if (flags & kItemOp) put(to, op);
    if (flags & kItemKey) put(to, key);
    if (flags & kItemIndex) put(to, index);
    return to;
  }

  std::vector<std::byte> bytes_;
  size_t used_ = 0;
  uint32_t count_ = 0, index_ = 0;
  uint64_t op_ = 0;
  PageKey key_ = 0;
};

// Reads what Packing wrote. False: there is no item there, or not all of it.
class Unpacking {
 public:
  explicit Unpacking(std::span<const std::byte> in) : at_(in.data()), end_(in.data() + in.size()) {}
  bool next(PackItem& i, std::span<const std::byte>& data) {
    uint64_t fixed;
    if (left() < sizeof fixed) return false;
    get(fixed);
    const auto flags = static_cast<uint8_t>(fixed);
    i.kind = static_cast<OpKind>(fixed >> 8 & 255);
    i.len = static_cast<uint16_t>(fixed >> 16);
    i.off = static_cast<uint32_t>(fixed >> 32);
    index_++;
    if (flags && (flags & ~(kItemOp | kItemKey | kItemIndex) || !named(flags))) return false;
    if (!PackItem::takes(i.kind)) return false;
    i.op = op_;
    i.key = key_;
    i.index = index_;
    return take(i.data_size(), data);
  }
  bool next(PackedAnswer& a, std::span<const std::byte>& data) {
    uint32_t fixed;
    if (left() < sizeof fixed) return false;
    get(fixed);
    const auto flags = static_cast<uint8_t>(fixed);
    a.error = static_cast<uint8_t>(fixed >> 8);
    a.len = static_cast<uint16_t>(fixed >> 16);
    index_++;
    if (flags && (flags & ~(kItemOp | kItemIndex) || !named(flags))) return false;
    a.op = op_;
    a.index = index_;
    return take(a.len, data);
  }
  bool at_end() const { return at_ == end_; }

 private:
  size_t left() const { return static_cast<size_t>(end_ - at_); }
  template <class T> void get(T& v) {
    std::memcpy(&v, at_, sizeof v);
    at_ += sizeof v;
  }
  bool named(uint8_t flags) {
    const size_t more = (flags & kItemOp ? 8 : 0) + (flags & kItemKey ? 8 : 0) + (flags & kItemIndex ? 4 : 0);
    if (left() < more) return false;
    if (flags & kItemOp) get(op_), index_ = 0;
    if (flags & kItemKey) get(key_);
    if (flags & kItemIndex) get(index_);
    return true;
  }
  bool take(size_t size, std::span<const std::byte>& data) {
    if (left() < size) return false;
    data = {at_, size};
    at_ += size;
    return true;
  }

  const std::byte* at_;
  const std::byte* end_;
  uint32_t index_ = 0;
  uint64_t op_ = 0;
  PageKey key_ = 0;
};

// What an item reads or writes is mostly a number.
inline void copy_item(std::byte* to, const std::byte* from, size_t size) {
  if (size == 8) std::memcpy(to, from, 8);
  else if (size > 0) std::memcpy(to, from, size);
}

// Whether these are `count` items and nothing else. The first of them has to name what the others may leave out.
template <class Item> bool sound(std::span<const std::byte> items, uint32_t count) {
  Unpacking in(items);
  Item item;
  std::span<const std::byte> data;
  constexpr uint8_t first = std::is_same_v<Item, PackItem> ? kItemOp | kItemKey : kItemOp;
  if (count == 0 || items.empty() || (static_cast<uint8_t>(items[0]) & first) != first) return false;
  for (uint32_t i = 0; i < count; i++)
    if (!in.next(item, data)) return false;
  return in.at_end();
}

}  // namespace dmi::memory
