#include "history.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <unordered_set>

#include "memory/core/view.h"

namespace dmi::memory::sim {

std::string PageOp::text() const {
  static const char* names[] = {"read", "write", "cas", "fas", "fad"};
  char buf[200];
  std::snprintf(buf, sizeof buf, "[%" PRIu64 ", %" PRId64 "] thread %d %s word %d+%d in %" PRIx64 ",%" PRIx64 " out %" PRIx64 ",%" PRIx64, call,
                static_cast<int64_t>(ret), thread, names[kind], word, words, in[0], in[1], out[0], out[1]);
  return buf;
}

size_t History::begin(PageOp op) {
  ops_.push_back(op);
  return ops_.size() - 1;
}

namespace {
using State = std::array<uint64_t, 2>;

// Applies the operation; false when its result does not fit the state. A pending one has no result yet.
bool apply(const PageOp& op, State& s) {
  const bool pending = op.ret == kPending;
  auto& w = s[op.word];
  switch (op.kind) {
    case PageOp::Read:
      if (pending) return true;
      for (int i = 0; i < op.words; i++)
        if (s[op.word + i] != op.out[i]) return false;
      return true;
    case PageOp::Write:
      for (int i = 0; i < op.words; i++) s[op.word + i] = op.in[i];
      return true;
    case PageOp::Cas: {
      const bool equal = w == op.in[0];
      if (!pending && equal != (op.out[0] == 1)) return false;
      if (equal) w = op.in[1];
      return true;
    }
    case PageOp::Fas:
      if (!pending && op.out[0] != w) return false;
      w = op.in[0];
      return true;
    case PageOp::Fad:
      if (!pending && op.out[0] != w) return false;
      w += op.in[0];
      return true;
  }
  return false;
}

// Fits the state and does not change it. If any order exists, one exists in which such an operation comes at once: moving
// it forward to here changes nothing that another sees. So these are placed without ever trying another place.
bool changes_nothing(const PageOp& op, const State& s) {
  if (op.kind != PageOp::Read && (op.kind != PageOp::Cas || op.ret == kPending)) return false;  // a pending one may yet change it
  State after = s;
  return apply(op, after) && after == s;
}

struct Event {
  int op;
  bool call;
  int prev, next, match;
};
}  // namespace

std::string History::check() const {
  const int n = static_cast<int>(ops_.size());
  struct Key { uint64_t time; bool call; int op; };
  std::vector<Key> order;
  for (int i = 0; i < n; i++) {
    order.push_back({ops_[i].call, true, i});
    order.push_back({ops_[i].ret, false, i});
  }
  std::sort(order.begin(), order.end(), [](auto& a, auto& b) { return a.time != b.time ? a.time < b.time : a.call > b.call; });
  std::vector<Event> list(order.size() + 1);
  std::vector<int> call_at(n);
  for (size_t i = 0; i < order.size(); i++) {
    list[i + 1] = {order[i].op, order[i].call, static_cast<int>(i), i + 1 < order.size() ? static_cast<int>(i) + 2 : 0, 0};
    if (order[i].call) call_at[order[i].op] = static_cast<int>(i) + 1;
    else list[call_at[order[i].op]].match = static_cast<int>(i) + 1;
  }
  list[0] = {-1, true, 0, order.empty() ? 0 : 1, 0};
  const auto unlink = [&](int e) {
    list[list[e].prev].next = list[e].next;
    if (list[e].next) list[list[e].next].prev = list[e].prev;
  };
  const auto relink = [&](int e) {
    list[list[e].prev].next = e;
    if (list[e].next) list[list[e].next].prev = e;
  };
  struct Step { int event; State before; bool forced; };
  std::vector<Step> stack;
  std::unordered_set<uint64_t> tried;
  State state{};
  uint64_t done = 0;  // a hash of the set of operations that have taken effect
  size_t deepest = 0;
  int stuck = 0;
  int e = list[0].next;
  bool fresh = true;  // the state is new: look for operations that change nothing
  const auto place = [&](int event, const State& after, uint64_t with, bool forced) {
    stack.push_back({event, state, forced});
    state = after;
    done = with;
    unlink(event);
    unlink(list[event].match);
    e = list[0].next;
    fresh = true;
  };
  while (list[0].next) {
    if (fresh) {
      fresh = false;
      for (int at = list[0].next; at && list[at].call; at = list[at].next)
        if (changes_nothing(ops_[list[at].op], state)) {
          place(at, state, done ^ mix(static_cast<uint64_t>(list[at].op) + 0x1234567), true);
          break;
        }
      if (fresh) continue;
    }
    if (list[e].call) {
      const int op = list[e].op;
      State next = state;
      const uint64_t with = done ^ mix(static_cast<uint64_t>(op) + 0x1234567);
      if (apply(ops_[op], next) && tried.insert(mix(with ^ mix(next[0] ^ mix(next[1] + 99)))).second) {
        place(e, next, with, false);
      } else {
        e = list[e].next;
      }
    } else {
      if (ops_[list[e].op].ret == kPending) return {};  // everything that returned has its place
      if (stack.size() >= deepest) {
        deepest = stack.size();
        stuck = list[e].op;
      }
      while (!stack.empty() && stack.back().forced) {
        const auto step = stack.back();
        stack.pop_back();
        done ^= mix(static_cast<uint64_t>(list[step.event].op) + 0x1234567);
        relink(list[step.event].match);
        relink(step.event);
      }
      if (stack.empty()) {
        std::string why = "no order explains these operations:\n";
        const auto& s = ops_[stuck];
        for (auto& o : ops_)
          if (o.ret + 1 > s.call && o.call < s.ret + 40 && o.ret > (s.call > 60 ? s.call - 60 : 0)) why += "    " + o.text() + "\n";
        return why + "  stuck at " + s.text();
      }
      const auto step = stack.back();
      stack.pop_back();
      state = step.before;
      done ^= mix(static_cast<uint64_t>(list[step.event].op) + 0x1234567);
      relink(list[step.event].match);
      relink(step.event);
      e = list[step.event].next;
    }
  }
  return {};
}

}  // namespace dmi::memory::sim
