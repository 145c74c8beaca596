#include "conflicts.h"

#include <algorithm>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>

namespace dmi::sim {
namespace {

constexpr uint64_t kKeysAtOnce = 1 << 22;  // pieces in a range: 8 bytes each
constexpr uint64_t kBucket = 1 << 13;      // pieces of a bucket: sorted while they are in the cache
constexpr int kProcessBits = 16;           // of a key; the rest is the offset in the range

uint64_t mix(uint64_t v) {  // splitmix64's finaliser
  v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9ull;
  v = (v ^ v >> 27) * 0x94d049bb133111ebull;
  return v ^ v >> 31;
}

struct Random {
  using result_type = uint64_t;
  uint64_t state;
  static constexpr uint64_t min() { return 0; }
  static constexpr uint64_t max() { return UINT64_MAX; }
  uint64_t operator()() { return mix(state += 0x9e3779b97f4a7c15ull); }
  uint64_t below(uint64_t n) { return static_cast<uint64_t>(static_cast<unsigned __int128>((*this)()) * n >> 64); }
};

// The places where a piece may start, cut into ranges.
struct Slots {
  uint64_t all, ranges;
  uint64_t first(uint64_t range) const { return static_cast<uint64_t>(static_cast<unsigned __int128>(all) * range / ranges); }
  uint64_t in(uint64_t range) const { return first(range + 1) - first(range); }
};

// How many of a process's pieces fall into each range: as if each were thrown by itself.
std::vector<uint32_t> shares(const Layout& l, const Slots& slots, uint64_t seed, uint64_t process) {
  std::vector<uint32_t> counts(slots.ranges);
  Random random{mix(seed * 0x9e3779b97f4a7c15ull + process)};
  uint64_t left = l.pieces;
  for (uint64_t r = 0; r < slots.ranges && left > 0; r++) {
    const double share = static_cast<double>(slots.in(r)) / static_cast<double>(slots.all - slots.first(r));
    const uint64_t here = r + 1 == slots.ranges ? left : std::binomial_distribution<uint64_t>(left, share)(random);
    counts[r] = static_cast<uint32_t>(here);
    left -= here;
  }
  return counts;
}

struct Live {
  uint64_t end;
  uint32_t process;
};

// A thread's stretch of the address space, range after range from low to high.
class Sweep {
 public:
  Sweep(const Layout& l, const Slots& slots, const std::vector<std::vector<uint32_t>>& counts, uint64_t seed)
      : found(l.processes), l_(l), slots_(slots), counts_(counts), seed_(seed), piece_(l.piece()) {
    const uint64_t widest = (slots.all / slots.ranges + 1) * l.align;
    const uint64_t expected = l.pieces * l.processes / slots.ranges;
    uint64_t buckets = 1;
    while (buckets * kBucket < expected) buckets *= 2;
    while (widest >> shift_ >= buckets) shift_++;
    buckets_.resize((widest >> shift_) + 1);
  }

  void range(uint64_t r) {
    const uint64_t low = slots_.first(r), n = slots_.in(r);
    for (uint64_t p = 0; p < l_.processes; p++) {
      Random random{mix(mix(seed_ + r * 0x9e3779b97f4a7c15ull) + p)};
      for (uint32_t i = counts_[p][r]; i > 0; i--) {
        const uint64_t offset = random.below(n) * l_.align;
        buckets_[offset >> shift_].push_back(offset << kProcessBits | p);
      }
    }
    for (auto& bucket : buckets_) {
      sort(bucket);
      for (const uint64_t key : bucket) piece(low * l_.align + (key >> kProcessBits), static_cast<uint32_t>(key & ((1u << kProcessBits) - 1)));
      bucket.clear();
    }
  }

  Conflicts found;

 private:
  // A piece conflicts with those that have begun and not ended.
  void piece(uint64_t start, uint32_t process) {
    bool own = false;
    for (size_t i = 0; i < live_.size();) {
      if (live_[i].end <= start) {
        live_[i] = live_.back();
        live_.pop_back();
        continue;
      }
      if (live_[i].process == process) live_[i].end += piece_, own = true;
      else found.set(process, live_[i].process);
      i++;
    }
    if (!own) live_.push_back({start + piece_, process});
  }

  // By the upper part of what distinguishes keys of one bucket, then the few that are out of order one by one.
  void sort(std::vector<uint64_t>& keys) {
    if (keys.size() < 64) return std::sort(keys.begin(), keys.end());
    const int bits = 13, down = kProcessBits + (shift_ > bits ? shift_ - bits : 0);
    starts_.assign((1u << bits) + 1, 0);
    for (const uint64_t k : keys) starts_[(k >> down & ((1u << bits) - 1)) + 1]++;
    for (size_t i = 1; i < starts_.size(); i++) starts_[i] += starts_[i - 1];
    sorted_.resize(keys.size());
    for (const uint64_t k : keys) sorted_[starts_[k >> down & ((1u << bits) - 1)]++] = k;
    for (size_t i = 1; i < sorted_.size(); i++) {
      const uint64_t k = sorted_[i];
      size_t at = i;
      for (; at > 0 && sorted_[at - 1] > k; at--) sorted_[at] = sorted_[at - 1];
      sorted_[at] = k;
    }
    keys.swap(sorted_);
  }

  const Layout& l_;
  const Slots& slots_;
  const std::vector<std::vector<uint32_t>>& counts_;
  uint64_t seed_, piece_;
  std::vector<Live> live_;  // pieces that have begun and may not have ended
  int shift_ = 0;  // offset >> shift_ is its bucket
  std::vector<std::vector<uint64_t>> buckets_;
  std::vector<uint64_t> sorted_;
  std::vector<uint32_t> starts_;
};

// Runs work(0) … work(n - 1) in as many threads.
template <class Work>
void in_threads(uint64_t n, Work work) {
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < n; i++) threads.emplace_back([&work, i] { work(i); });
  for (auto& t : threads) t.join();
}

}  // namespace

void check(const Layout& l) {
  const auto no = [](const std::string& why) { throw std::invalid_argument(why); };
  if (l.address_bits < 16 || l.address_bits > 57) no("--address-bits must be between 16 and 57");
  if (l.processes < 1 || l.processes > 1ull << kProcessBits) no("--processes must be between 1 and 65536");
  if (l.pieces < 1 || l.bytes < 1 || l.bytes % l.pieces != 0) no("--bytes must be a multiple of --pieces");
  if (l.align < 1) no("--align must be at least 1");
  if (l.align > 1ull << l.address_bits) no("--align is larger than the address space");
  if (l.bytes > 1ull << l.address_bits) no("--bytes do not fit into an address space of 2^" + std::to_string(l.address_bits) + " bytes");
  if (static_cast<double>(l.pieces) * static_cast<double>(l.processes) > 0x1p34) no("more than 2^34 pieces take too long: lower --pieces or --processes");
}

Conflicts draw(const Layout& l, uint64_t seed, int wanted) {
  check(l);
  Slots slots{((1ull << l.address_bits) - l.piece()) / l.align + 1, 1};
  const auto threads = static_cast<uint64_t>(std::max(1, wanted));
  // As many ranges as the pieces need, but none narrower than a piece.
  const uint64_t most = std::max<uint64_t>(1, slots.all / (l.piece() / l.align + 1));
  slots.ranges = std::min(most, std::max<uint64_t>(1, l.pieces * l.processes / kKeysAtOnce));
  std::vector<std::vector<uint32_t>> counts(l.processes);
  in_threads(threads, [&](uint64_t t) {
    for (uint64_t p = t; p < l.processes; p += threads) counts[p] = shares(l, slots, seed, p);
  });
  const uint64_t parts = std::min(threads, slots.ranges);
  std::vector<std::unique_ptr<Sweep>> sweeps(parts);
  const auto edge = [&](uint64_t part) { return slots.ranges * part / parts; };
  in_threads(parts, [&](uint64_t t) {
    sweeps[t] = std::make_unique<Sweep>(l, slots, counts, seed);
    for (uint64_t r = edge(t); r < edge(t + 1); r++) sweeps[t]->range(r);
  });
  // What reaches over the edge of a part meets the first range behind it; seeing the others there once more does no harm.
  for (uint64_t t = 0; t + 1 < parts; t++) sweeps[t]->range(edge(t + 1));
  for (uint64_t t = 1; t < parts; t++) sweeps[0]->found.add(sweeps[t]->found);
  return std::move(sweeps[0]->found);
}

}  // namespace dmi::sim
