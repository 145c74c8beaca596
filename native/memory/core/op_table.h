// The operations in progress, by id: an open-addressing table whose states are kept and used again, as an operation that
// lasts ten microseconds should not pay for five allocations.
#pragma once
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "view.h"

namespace dmi::memory {

// State has `id`, unique and not 0 while it is in the table, and clear(), which makes it as new.
template <class State> class OpTable {
 public:
  OpTable() : slots_(kSmallest) {}

  State& add(uint64_t id) {
    if ((size_ + 1) * 2 > slots_.size()) resize(slots_.size() * 2);
    std::unique_ptr<State> state;
    if (free_.empty()) {
      state = std::make_unique<State>();
    } else {
      state = std::move(free_.back());
      free_.pop_back();
    }
    state->id = id;
    auto& ref = *state;
    slots_[find_slot(id)] = std::move(state);
    size_++;
    return ref;
  }
  State* find(uint64_t id) const { return slots_[find_slot(id)].get(); }  // null: none
  void erase(uint64_t id) {
    size_t hole = find_slot(id);
    auto state = std::move(slots_[hole]);
    if (!state) return;
    size_--;
    // Linear probing without tombstones: what probed past the hole moves into it.
    for (size_t at = hole;;) {
      at = (at + 1) & (slots_.size() - 1);
      if (!slots_[at]) break;
      const size_t home = place(slots_[at]->id);
      if (((at - home) & (slots_.size() - 1)) < ((at - hole) & (slots_.size() - 1))) continue;
      slots_[hole] = std::move(slots_[at]);
      hole = at;
    }
    state->clear();
    if (free_.size() < kKept) free_.push_back(std::move(state));
  }
  size_t size() const { return size_; }
  template <class F> void each(F&& f) const {
    for (auto& s : slots_)
      if (s) f(*s);
  }

 private:
  static constexpr size_t kSmallest = 64, kKept = 1024;
  size_t place(uint64_t id) const { return mix(id) & (slots_.size() - 1); }
  size_t find_slot(uint64_t id) const {  // where it is, or the empty slot that says it is not
    size_t at = place(id);
    while (slots_[at] && slots_[at]->id != id) at = (at + 1) & (slots_.size() - 1);
    return at;
  }
  void resize(size_t size) {
    auto old = std::exchange(slots_, std::vector<std::unique_ptr<State>>(size));
    for (auto& s : old)
      if (s) slots_[find_slot(s->id)] = std::move(s);
  }

  std::vector<std::unique_ptr<State>> slots_;  // a power of two, at most half full
  std::vector<std::unique_ptr<State>> free_;
  size_t size_ = 0;
};

}  // namespace dmi::memory
