// Which pages DMI_save has pinned here: disjoint intervals of page keys. A pin belongs to this member only; it says nothing
// about where the page is, only that it is not evicted while it is here.
#pragma once
#include <map>

#include "wire.h"

namespace dmi::memory {

class Pins {
 public:
  bool empty() const { return last_.empty(); }
  bool has(PageKey key) const {
    auto at = last_.upper_bound(key);
    return at != last_.begin() && std::prev(at)->second >= key;
  }
  void add(PageKey first, PageKey last) {
    const auto [from, to] = overlapping(first, last);
    if (from != to) {
      first = std::min(first, from->first);
      last = std::max(last, std::prev(to)->second);
    }
    last_.erase(from, to);
    last_[first] = last;
  }
  void remove(PageKey first, PageKey last) {
    const auto [from, to] = overlapping(first, last);
    if (from == to) return;
    const auto begin = from->first, end = std::prev(to)->second;
    last_.erase(from, to);
    if (begin < first) last_[begin] = first - 1;
    if (end > last) last_[last + 1] = end;
  }

 private:
  using Map = std::map<PageKey, PageKey>;  // first -> last, both included
  std::pair<Map::iterator, Map::iterator> overlapping(PageKey first, PageKey last) {
    auto from = last_.upper_bound(first);
    if (from != last_.begin() && std::prev(from)->second >= first) --from;
    return {from, last_.upper_bound(last)};
  }
  Map last_;
};

}  // namespace dmi::memory
