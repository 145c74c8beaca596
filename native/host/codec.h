// Little-endian encoding of what hosts tell each other. The reader checks every length and never reads past the end: a
// short or hostile message makes ok() false, and everything read from then on is zero or empty.
#pragma once
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace dmi::host {

class Writer {
 public:
  template <class T>
  void num(T v) {
    static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T>);
    const auto* p = reinterpret_cast<const std::byte*>(&v);
    out_.insert(out_.end(), p, p + sizeof v);
  }
  void bytes(const void* data, size_t size) {
    num<uint64_t>(size);
    const auto* p = static_cast<const std::byte*>(data);
    out_.insert(out_.end(), p, p + size);
  }
  void append(const Writer& other) { out_.insert(out_.end(), other.out_.begin(), other.out_.end()); }
  void text(const std::string& s) { bytes(s.data(), s.size()); }
  std::span<const std::byte> view() const { return out_; }
  size_t size() const { return out_.size(); }

 private:
  std::vector<std::byte> out_;
};

class Reader {
 public:
  explicit Reader(std::span<const std::byte> in) : in_(in) {}
  template <class T>
  T num() {
    static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T>);
    if constexpr (std::is_same_v<T, bool>) {  // a bool with other bits set would be undefined
      const auto v = num<uint8_t>();
      if (v > 1) fail();
      return v == 1;
    } else {
      return raw<T>();
    }
  }
  std::span<const std::byte> bytes() {
    const auto size = num<uint64_t>();
    if (size > in_.size()) return fail(), std::span<const std::byte>{};
    auto r = in_.first(size);
    in_ = in_.subspan(size);
    return r;
  }
  std::string text() {
    auto b = bytes();
    return {reinterpret_cast<const char*>(b.data()), b.size()};
  }
  // A count of elements that take at least `least` bytes each: larger than what is left is a lie.
  uint64_t count(uint64_t least) {
    const auto n = num<uint64_t>();
    if (n > in_.size() / (least ? least : 1)) return fail(), 0;
    return n;
  }
  bool ok() const { return ok_; }
  size_t left() const { return in_.size(); }

 private:
  template <class T>
  T raw() {
    T v{};
    if (sizeof v > in_.size()) return fail(), v;
    memcpy(&v, in_.data(), sizeof v);
    in_ = in_.subspan(sizeof v);
    return v;
  }
  void fail() {
    ok_ = false;
    in_ = {};
  }
  std::span<const std::byte> in_;
  bool ok_ = true;
};

}  // namespace dmi::host
