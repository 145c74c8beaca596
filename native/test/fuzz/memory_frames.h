// Three members exchange real frames, of which some are spoilt on the way as a string of bytes says: the fuzzer's input, or
// random bytes from a seed. Nothing is expected of the results, only that the members survive.
#pragma once
#include <list>
#include <random>
#include <span>

#include "memory/core/wire.h"
#include "memory/sim/world.h"

namespace dmi::memory::sim {

struct Hostility { uint64_t spoilt = 0, hung_up = 0; };

class Bytes {  // zeros after the end
 public:
  explicit Bytes(std::span<const uint8_t> in) : in_(in) {}
  uint8_t u8() {
    if (in_.empty()) return 0;
    const auto v = in_.front();
    in_ = in_.subspan(1);
    return v;
  }
  uint32_t u16() { return u8() | static_cast<uint32_t>(u8()) << 8; }
  bool empty() const { return in_.empty(); }

 private:
  std::span<const uint8_t> in_;
};

inline Hostility run_hostile(std::span<const uint8_t> input) {
  Bytes bytes(input);
  Hostility result;
  struct Pending {
    Op op;
    std::vector<std::byte> in = std::vector<std::byte>(64), out = std::vector<std::byte>(5000);
    std::vector<Piece> pieces;
  };
  std::list<Pending> ops;  // outlive the world: answers may come at any time
  World world(bytes.u16());
  for (int i = 0; i < 3; i++) world.add(MemberState::Active, 1 << 20);
  world.publish();
  world.settle();
  std::vector<GlobalAddr> mapped;
  for (auto [size, pages] : {std::pair{16, 4}, {4096, 2}}) {
    Op op;
    op.kind = OpKind::Mmap;
    op.size = size;
    op.value = pages;
    if (!world.submit(0, &op)) world.wait(&op, 0);
    mapped.push_back(op.value);
  }
  world.run_function = [](World::Node&, FunctionCall*) {};
  std::vector<std::byte> last;
  world.tamper = [&](World& w, MemberId from, MemberId to, Frame& f) {
    const auto what = bytes.u8();
    if (what % 4 || f.head.empty()) return true;
    result.spoilt++;
    const auto at = bytes.u16() % f.head.size();
    switch (what / 4 % 6) {
      case 0: f.head[at] = static_cast<std::byte>(bytes.u8()); break;
      case 1: f.head[at] ^= static_cast<std::byte>(1u << bytes.u8() % 8); break;
      case 2: f.head.resize(at); break;
      case 3: f.head.insert(f.head.begin() + static_cast<int64_t>(at), static_cast<std::byte>(bytes.u8())); break;
      case 4:                       // somebody else's frame, again
        if (!last.empty()) {
          Frame again;
          again.head = last;
          w.inject(from, to, std::move(again));
        }
        break;
      case 5:                       // fields of eight bytes are where addresses and lengths are
        for (size_t i = at; i < std::min(at + 8, f.head.size()); i++) f.head[i] = static_cast<std::byte>(bytes.u8());
        break;
    }
    last = f.head;
    return true;
  };
  for (int round = 0; round < 60 && !bytes.empty(); round++) {
    auto& p = ops.emplace_back();
    const auto dice = bytes.u8();
    const MemberId at = bytes.u8() % 3;
    const bool small = dice & 1;
    const auto addr = mapped[small ? 0 : 1] + bytes.u16() % (small ? 64 : 8192);
    p.op.kind = std::array{OpKind::Read, OpKind::Write, OpKind::Fad, OpKind::Cas, OpKind::Fas, OpKind::Function, OpKind::MutexLock, OpKind::MutexUnlock,
                           OpKind::CondSignal, OpKind::Barrier, OpKind::Allreduce, OpKind::MailWait, OpKind::MailPost, OpKind::EventWait, OpKind::EventSet,
                           OpKind::Watch}[dice / 2 % 16];
    p.op.mode = static_cast<Mode>(p.op.kind == OpKind::Read ? 20 + bytes.u8() % 3 : 23 + bytes.u8() % 2);
    p.op.addr = addr;
    p.op.size = p.op.kind == OpKind::Function ? 4 : 8;
    p.op.thread = 1 + static_cast<ThreadKey>(dice % 3);
    p.op.target = 1 + bytes.u8() % 4;
    p.op.pnum = 2;
    p.op.in = p.op.in2 = p.in.data();
    p.op.out = p.out.data();
    p.op.in_size = p.op.out_size = 8;
    p.pieces = {{addr, 8, p.out.data()}};
    if (p.op.kind == OpKind::Read || p.op.kind == OpKind::Write) p.op.pieces = p.pieces;
    world.submit(at, &p.op);
    if (world.node(at).engine->wants_flush()) world.flush(at);
    for (int i = 0; i < 12 && world.step(); i++) {}
  }
  for (int i = 0; i < 2000 && world.step(); i++) {}
  for (auto& line : world.problems) result.hung_up += line.find("hangs up") != std::string::npos;
  return result;
}

inline Hostility run_hostile(uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<uint8_t> input(1500);
  for (auto& b : input) b = static_cast<uint8_t>(random());
  return run_hostile(input);
}

}  // namespace dmi::memory::sim
