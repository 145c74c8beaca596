// Order-independent reductions. Integer operations wrap and commute exactly. Floating-point sums go through an exact
// accumulator (a fixed-point number wide enough for every double, after Kulisch) that is rounded once; products multiply
// in sorted order; maxima and minima use a total order (-0 below +0, a NaN wins).
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "sync_objects.h"

namespace dmi::memory {

size_t reduce_size(ReduceType t) {
  switch (t) {
    case ReduceType::Char: return 1;
    case ReduceType::Short: return 2;
    case ReduceType::Int: case ReduceType::Float: return 4;
    case ReduceType::Long: case ReduceType::LongLong: case ReduceType::Double: return 8;
  }
  return 0;
}

namespace {

// Every finite double is m * 2^-1074 with an integer m below 2^2098. 2^64 of them fit into 2176 bits with sign.
class Accumulator {
 public:
  void add(double x) {
    const auto bits = std::bit_cast<uint64_t>(x);
    const int exponent = static_cast<int>(bits >> 52) & 2047;
    uint64_t m = bits & ((1ull << 52) - 1);
    int shift = 0;
    if (exponent) {
      m |= 1ull << 52;
      shift = exponent - 1;
    }
    const int word = shift / 64, bit = shift % 64;
    const uint64_t low = m << bit;
    const uint64_t high = bit ? m >> (64 - bit) : 0;
    if (bits >> 63) subtract(word, low, high);
    else plus(word, low, high);
  }
  double round() const {
    auto w = words_;
    const bool negative = w[kWords - 1] >> 63;
    if (negative) {  // two's complement
      uint64_t carry = 1;
      for (auto& x : w) {
        x = ~x + carry;
        carry = carry && x == 0;
      }
    }
    int top = kWords * 64 - 1;
    while (top >= 0 && !(w[static_cast<size_t>(top) / 64] >> (top % 64) & 1)) top--;
    if (top < 0) return 0.0;
    double r;
    if (top < 53) {  // exact: at most 53 bits above 2^-1074
      r = std::ldexp(static_cast<double>(w[0]), -1074);
    } else {
      const int low = top - 52;  // weight of the last bit kept
      uint64_t m = 0;
      for (int i = 0; i < 53; i++) m |= static_cast<uint64_t>(get(w, low + i)) << i;
      const bool half = get(w, low - 1);
      bool sticky = false;
      for (int i = 0; i < low - 1 && !sticky; i++) {
        if (i % 64 == 0 && i + 64 <= low - 1) {
          sticky = w[static_cast<size_t>(i) / 64] != 0;
          i += 63;
        } else {
          sticky = get(w, i);
        }
      }
      if (half && (sticky || (m & 1))) m++;  // to nearest, ties to even
      r = std::ldexp(static_cast<double>(m), low - 1074);  // inf when it does not fit
    }
    return negative ? -r : r;
  }

 private:
  static constexpr int kWords = 35;
  using Words = std::array<uint64_t, kWords>;
  static bool get(const Words& w, int i) { return w[static_cast<size_t>(i) / 64] >> (i % 64) & 1; }
  void plus(int at, uint64_t low, uint64_t high) {
    auto i = static_cast<size_t>(at);
    unsigned char carry = __builtin_add_overflow(words_[i], low, &words_[i]);
    unsigned char c2 = __builtin_add_overflow(words_[i + 1], high, &words_[i + 1]);
    c2 |= __builtin_add_overflow(words_[i + 1], static_cast<uint64_t>(carry), &words_[i + 1]);
    for (i += 2; c2 && i < kWords; i++) c2 = ++words_[i] == 0;
  }
  void subtract(int at, uint64_t low, uint64_t high) {
    auto i = static_cast<size_t>(at);
    unsigned char borrow = __builtin_sub_overflow(words_[i], low, &words_[i]);
    unsigned char b2 = __builtin_sub_overflow(words_[i + 1], high, &words_[i + 1]);
    b2 |= __builtin_sub_overflow(words_[i + 1], static_cast<uint64_t>(borrow), &words_[i + 1]);
    for (i += 2; b2 && i < kWords; i++) b2 = words_[i]-- == 0;
  }
  Words words_{};
};

double exact_sum(const std::vector<double>& v) {
  bool plus_inf = false, minus_inf = false, all_minus_zero = true;
  Accumulator a;
  for (double x : v) {
    if (std::isnan(x)) return std::numeric_limits<double>::quiet_NaN();
    all_minus_zero = all_minus_zero && x == 0 && std::signbit(x);
    if (std::isinf(x)) (x > 0 ? plus_inf : minus_inf) = true;
    else a.add(x);
  }
  if (plus_inf && minus_inf) return std::numeric_limits<double>::quiet_NaN();
  if (plus_inf) return std::numeric_limits<double>::infinity();
  if (minus_inf) return -std::numeric_limits<double>::infinity();
  return all_minus_zero ? -0.0 : a.round();
}

template <class T> T from_word(uint64_t w) {
  T v;
  std::memcpy(&v, &w, sizeof v);
  return v;
}
template <class T> uint64_t to_word(T v) {
  uint64_t w = 0;
  std::memcpy(&w, &v, sizeof v);
  return w;
}

template <class T> uint64_t reduce_int(ReduceOp op, const std::vector<uint64_t>& values) {
  using U = std::make_unsigned_t<T>;
  T best = from_word<T>(values[0]);
  uint64_t acc = op == ReduceOp::Prod ? 1 : 0;
  for (auto w : values) {
    const T v = from_word<T>(w);
    if (op == ReduceOp::Max) best = std::max(best, v);
    if (op == ReduceOp::Min) best = std::min(best, v);
    if (op == ReduceOp::Sum) acc += static_cast<U>(v);
    if (op == ReduceOp::Prod) acc *= static_cast<uint64_t>(static_cast<U>(v));
  }
  return op == ReduceOp::Max || op == ReduceOp::Min ? to_word<T>(best) : to_word<U>(static_cast<U>(acc));
}

template <class T> uint64_t reduce_float(ReduceOp op, const std::vector<uint64_t>& values) {
  std::vector<T> v;
  bool nan = false;
  for (auto w : values) {
    v.push_back(from_word<T>(w));
    nan = nan || std::isnan(v.back());
  }
  if (nan) return to_word(std::numeric_limits<T>::quiet_NaN());
  const auto below = [](T a, T b) { return a < b || (a == b && std::signbit(a) && !std::signbit(b)); };
  switch (op) {
    case ReduceOp::Max: return to_word(*std::max_element(v.begin(), v.end(), below));
    case ReduceOp::Min: return to_word(*std::min_element(v.begin(), v.end(), below));
    case ReduceOp::Sum: {
      const double sum = exact_sum({v.begin(), v.end()});
      return to_word(static_cast<T>(sum));
    }
    default: {
      std::sort(v.begin(), v.end(), below);
      T p = 1;
      for (T x : v) p *= x;
      if (std::isnan(p)) p = std::numeric_limits<T>::quiet_NaN();
      return to_word(p);
    }
  }
}

}  // namespace

uint64_t reduce(ReduceOp op, ReduceType type, const std::vector<uint64_t>& values) {
  if (values.empty()) return 0;
  switch (type) {
    case ReduceType::Char: return reduce_int<signed char>(op, values);
    case ReduceType::Short: return reduce_int<int16_t>(op, values);
    case ReduceType::Int: return reduce_int<int32_t>(op, values);
    case ReduceType::Long: case ReduceType::LongLong: return reduce_int<int64_t>(op, values);
    case ReduceType::Float: return reduce_float<float>(op, values);
    case ReduceType::Double: return reduce_float<double>(op, values);
  }
  return 0;
}

}  // namespace dmi::memory
