// Histories of operations on one page, and the question whether they are linearizable: is there an order of the
// operations, each taking effect at one moment between its call and its return, in which every result is right?
// (Wing and Gong 1993; the cache of configurations already tried is Lowe's, 2017.)
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace dmi::memory::sim {

constexpr uint64_t kPending = ~0ull;

struct PageOp {
  enum Kind : uint8_t { Read, Write, Cas, Fas, Fad } kind = Read;
  uint8_t word = 0, words = 1;             // of the page's two observed words
  std::array<uint64_t, 2> in{}, out{};     // Cas: in = {compare, swap}, out[0] = 1 when swapped
  uint64_t call = 0, ret = kPending;       // an operation that never returned may have happened or not
  int thread = -1;
  std::string text() const;
};

class History {
 public:
  size_t begin(PageOp op);                 // -> its number
  PageOp& operator[](size_t i) { return ops_[i]; }
  size_t size() const { return ops_.size(); }
  // Empty: linearizable, starting from zeros. Otherwise the operations around which no order exists.
  std::string check() const;

 private:
  std::vector<PageOp> ops_;
};

}  // namespace dmi::memory::sim
