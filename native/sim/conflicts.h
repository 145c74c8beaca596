// Processes that lay their memory out at random, and which of them cannot be in one address space.
//
// A process's memory is `pieces` runs of `bytes / pieces` bytes, each at a random multiple of `align`; two of its own that
// meet are put one behind the other. With 16,384 processes of 65,536 pieces there are 2^30 pieces, so they are never all in
// memory: the address space is swept range by range, after it has been drawn how many of whose pieces fall into each.
#pragma once
#include <cstdint>
#include <utility>
#include <vector>

namespace dmi::sim {

struct Layout {
  int address_bits = 47;
  uint64_t processes = 0;
  uint64_t bytes = 0;   // of a process
  uint64_t pieces = 1;  // divides bytes
  uint64_t align = 1;
  uint64_t piece() const { return bytes / pieces; }
};

// A symmetric relation over processes, a bit a pair: n^2 / 2 bits.
class Conflicts {
 public:
  explicit Conflicts(uint64_t n) : n_(n), words_(row(n)) {}
  void set(uint32_t a, uint32_t b) {
    if (a < b) std::swap(a, b);
    words_[row(a) + b / 64] |= 1ull << b % 64;
  }
  bool get(uint32_t a, uint32_t b) const {
    if (a < b) std::swap(a, b);
    return words_[row(a) + b / 64] >> b % 64 & 1;
  }
  void add(const Conflicts& other) {
    for (uint64_t i = 0; i < words_.size(); i++) words_[i] |= other.words_[i];
  }
  uint64_t size() const { return n_; }
  // Bits of the processes before `a`, 64 a word.
  const uint64_t* before(uint32_t a) const { return &words_[row(a)]; }

 private:
  // Where the row of process a starts: rows 64k to 64k+63 have k+1 words each.
  static uint64_t row(uint64_t a) {
    const uint64_t k = a / 64;
    return 32 * k * (k + 1) + a % 64 * (k + 1);
  }
  uint64_t n_;
  std::vector<uint64_t> words_;
};

// Throws std::invalid_argument with a sentence when the layout makes no sense or is too large.
void check(const Layout& layout);
// One draw of everything. The same seed gives the same answer, whatever the number of threads.
Conflicts draw(const Layout& layout, uint64_t seed, int threads);

}  // namespace dmi::sim
