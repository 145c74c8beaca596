// A member as the benchmarks use it: operations with the waiting of an idle worker, which polls and then sleeps.
#pragma once
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "memory/member.h"
#include "memory/transport/lock.h"

namespace dmi::bench::member {
using namespace dmi::memory;

[[noreturn]] inline void die(const std::string& what) {
  std::fprintf(stderr, "memory_bench: %s\n", what.c_str());
  std::exit(1);
}

struct Slot {
  Op op;
  Piece piece{};
  std::atomic<uint32_t> done{0};
};
inline std::atomic<uint32_t> completions{0}, sleepers{0};

inline void on_done(Op* op) {
  auto* slot = static_cast<Slot*>(op->user);
  slot->done.store(1, std::memory_order_release);
  completions.fetch_add(1);
  if (sleepers.load() > 0) transport::futex_wake(completions, std::numeric_limits<int>::max());
}

inline void wait(Member& m, Slot& slot) {
  while (!slot.done.load(std::memory_order_acquire)) {
    const auto seen = completions.load(std::memory_order_acquire);
    if (slot.done.load(std::memory_order_acquire)) break;
    if (m.poll(50)) continue;
    sleepers.fetch_add(1);
    if (!slot.done.load(std::memory_order_acquire)) transport::futex_wait(completions, seen);
    sleepers.fetch_sub(1);
  }
  if (slot.op.error) die(slot.op.message);
}

inline void start(Member& m, Slot& slot) {
  slot.op.user = &slot;
  slot.done.store(0, std::memory_order_relaxed);
  if (m.submit(&slot.op)) slot.done.store(1, std::memory_order_relaxed);
}
inline void run(Member& m, Slot& slot) {
  start(m, slot);
  m.flush();
  wait(m, slot);
}
inline void access(Slot& slot, OpKind kind, Mode mode, GlobalAddr addr, void* data, int64_t size) {
  slot.op = Op{};
  slot.op.kind = kind;
  slot.op.mode = mode;
  slot.piece = {addr, size, static_cast<std::byte*>(data)};
  slot.op.pieces = {&slot.piece, 1};
}
inline void fad(Slot& slot, GlobalAddr addr) {
  slot.op = Op{};
  slot.op.kind = OpKind::Fad;
  slot.op.mode = Mode::Put;
  slot.op.addr = addr;
  slot.op.size = 8;
  slot.op.value = 1;
}
inline void sync(Member& m, OpKind kind, GlobalAddr addr, ThreadKey thread) {
  Slot slot;
  slot.op.kind = kind;
  slot.op.addr = addr;
  slot.op.thread = thread;
  run(m, slot);
}
inline GlobalAddr mmap(Member& m, int64_t page_size, int64_t count) {
  Slot slot;
  slot.op.kind = OpKind::Mmap;
  slot.op.size = page_size;
  slot.op.value = count;
  run(m, slot);
  return slot.op.value;
}
inline void own(Member& m, GlobalAddr addr, int64_t size) {
  std::vector<std::byte> data(static_cast<size_t>(size), std::byte{1});
  Slot slot;
  access(slot, OpKind::Write, Mode::Exclusive, addr, data.data(), size);
  run(m, slot);
}

inline std::atomic<bool> ending{false};  // peers leave in any order

inline std::unique_ptr<Member> start_member(MemberId id, bool share) {
  MemberConfig config;
  config.job = "bench";
  config.key = "0123456789abcdef0123456789abcdef";
  config.build = "bench";
  config.self = id;
  config.pool = 1ll << 30;
  config.share = share;
  MemberCallbacks callbacks;
  callbacks.done = on_done;
  callbacks.log = [](int level, std::string_view line) {
    if (level >= 40 && !ending.load()) std::fprintf(stderr, "memory_bench: %.*s\n", static_cast<int>(line.size()), line.data());
  };
  return Member::start(config, callbacks);
}

inline void transfer(int fd, void* data, size_t size, bool out) {
  auto* at = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t n = out ? write(fd, at, size) : read(fd, at, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) std::exit(1);
    at += n;
    size -= static_cast<size_t>(n);
  }
}

}  // namespace dmi::bench::member
