// What members put on their sockets below the engine's frames. All integers little-endian.
//
// A connection starts with a handshake (handshake.h): messages of
//     magic u32 | version u16 | type u8 | 0 u8 | size u32 | payload[size]
// whose first eight bytes and Refuse message never change, so that any two versions can tell each other what is wrong.
//
// A connection of service "member" then carries links in both directions:
//     head_size:24, kind:8 | body_size u32 | seq u64 | ack u64 | head | body
// seq numbers the frames of one direction of a *session* (a pair of members) from 1, over all its connections; ack is
// the highest seq the writer has received. Ack and Ping links have seq 0, no head and no body; a Ping asks for an Ack.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace dmi::memory::transport {

constexpr uint32_t kMagic = 0x31494d44;  // "DMI1"
constexpr uint16_t kWireVersion = 2;  // 2: packs (../core/pack.h)
constexpr uint32_t kSharedMemory = 2;    // feature: rings in shared memory, see shared_rings.h (1: without placed bodies)
constexpr uint32_t kFeatures = kSharedMemory;  // optional behaviour this build can do

// ---- links ------------------------------------------------------------------------------------------------------
enum class LinkKind : uint8_t {
  Engine = 0, App = 1, Ack = 2, Ping = 3,
  Placed = 4,  // as Engine, but instead of the body, where it stands: kPlace bytes, an offset in the sender's frame memory
};
constexpr size_t kPlace = 8;
constexpr size_t kLinkSize = 24;
constexpr uint32_t kMaxHead = (1u << 24) - 1;              // bytes
constexpr uint32_t kMaxBody = (1u << 30) + kMaxHead;       // bytes

struct Link {
  LinkKind kind = LinkKind::Engine;
  uint32_t head_size = 0;
  uint32_t body_size = 0;
  uint64_t seq = 0;
  uint64_t ack = 0;
};

inline void encode_link(const Link& link, std::byte* to) {
  const uint32_t first = link.head_size | static_cast<uint32_t>(link.kind) << 24;
  memcpy(to, &first, 4);
  memcpy(to + 4, &link.body_size, 4);
  memcpy(to + 8, &link.seq, 8);
  memcpy(to + 16, &link.ack, 8);
}
inline Link decode_link(const std::byte* from) {
  uint32_t first;
  Link link;
  memcpy(&first, from, 4);
  memcpy(&link.body_size, from + 4, 4);
  memcpy(&link.seq, from + 8, 8);
  memcpy(&link.ack, from + 16, 8);
  link.head_size = first & kMaxHead;
  link.kind = static_cast<LinkKind>(first >> 24);
  return link;
}

// ---- handshake messages -------------------------------------------------------------------------------------------
enum class HandshakeType : uint8_t { Hello = 1, Challenge = 2, Auth = 3, Accept = 4, Refuse = 5, Confirm = 6 };
constexpr size_t kHandshakeHead = 12;
constexpr size_t kMaxHandshake = 128 << 10;  // bytes of payload of any message
constexpr size_t kMaxHello = 4 << 10;        // bytes of payload of Hello, Challenge, Accept, Refuse
constexpr size_t kMaxExtra = 64 << 10;       // bytes of a service's extra data
constexpr size_t kNonce = 32, kProof = 32;   // bytes

// Appends values to a payload.
class Writer {
 public:
  template <class T>
    requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  void put(T value) {
    const size_t at = bytes.size();
    bytes.resize(at + sizeof value);
    memcpy(bytes.data() + at, &value, sizeof value);
  }
  void raw(std::span<const std::byte> data) { bytes.insert(bytes.end(), data.begin(), data.end()); }
  void text(std::string_view s) {
    put(static_cast<uint32_t>(s.size()));
    raw(std::as_bytes(std::span(s)));
  }
  std::vector<std::byte> bytes;
};

// Takes values from a payload; after the first that is not there, `ok` is false and everything is zero.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> data) : rest(data) {}
  template <class T>
  T get() {
    T value{};
    if (auto part = take(sizeof value); ok) memcpy(&value, part.data(), sizeof value);
    return value;
  }
  std::span<const std::byte> take(size_t size) {
    if (!ok || size > rest.size()) {
      ok = false;
      return {};
    }
    auto part = rest.first(size);
    rest = rest.subspan(size);
    return part;
  }
  std::string text(size_t limit) {
    const auto size = get<uint32_t>();
    if (size > limit) ok = false;
    auto part = take(size);
    return {reinterpret_cast<const char*>(part.data()), part.size()};
  }
  std::span<const std::byte> rest;
  bool ok = true;
};

}  // namespace dmi::memory::transport
