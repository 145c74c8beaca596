// Any bytes as frames from a member of the same job, received by a member that owns pages, has copies, homes shards and
// holds a mutex.
//   input := { from u8 | head size u16 | body size u16 | head | body } ...    from: 1 or 2, by its lowest bit
#include <span>

#include "memory/core/wire.h"
#include "memory/sim/world.h"

using namespace dmi::memory;
using namespace dmi::memory::sim;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<std::byte> in(16, std::byte{1}), out(4096);
  std::vector<Piece> pieces;
  Op mmap, write, read, lock, later;  // outlive the world
  World world(7);
  for (int i = 0; i < 3; i++) world.add(MemberState::Active, 1 << 20);
  world.publish();
  world.settle();
  const auto perform = [&](MemberId at, Op& op) {
    if (!world.submit(at, &op)) world.wait(&op, at);
  };
  mmap.kind = OpKind::Mmap;
  mmap.size = 64;
  mmap.value = 6;
  perform(0, mmap);
  const auto addr = mmap.value;
  pieces = {{addr, 16, in.data()}};
  write.kind = OpKind::Write;
  write.mode = Mode::Exclusive;
  write.pieces = pieces;
  perform(0, write);
  std::vector<Piece> all = {{addr, 384, out.data()}};
  read.kind = OpKind::Read;
  read.mode = Mode::Update;
  read.pieces = all;
  perform(0, read);
  lock.kind = OpKind::MutexLock;
  lock.addr = addr;
  lock.thread = 5;
  perform(0, lock);
  later.kind = OpKind::MailWait;  // waits throughout
  later.thread = 6;
  later.out = out.data();
  later.out_size = 8;
  world.submit(0, &later);
  world.settle();
  world.run_function = [](World::Node&, FunctionCall*) {};
  std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  const auto take = [&](size_t n) {
    auto part = bytes.first(std::min(n, bytes.size()));
    bytes = bytes.subspan(part.size());
    return part;
  };
  const auto u16 = [&] {
    uint16_t v = 0;
    const auto part = take(2);
    if (!part.empty()) std::memcpy(&v, part.data(), part.size());
    return v;
  };
  std::vector<std::vector<std::byte>> bodies;  // frames point to them
  while (!bytes.empty()) {
    const auto from = 1 + (static_cast<int>(take(1)[0]) & 1);
    const auto head_size = u16(), body_size = u16();
    Frame f;
    const auto head = take(head_size);
    f.head.assign(head.begin(), head.end());
    const auto body = take(body_size);
    if (!body.empty()) {
      bodies.emplace_back(body.begin(), body.end());
      f.body.push_back({bodies.back().data(), bodies.back().size(), nullptr});
    }
    bodies.reserve(bodies.size() + 1);
    world.inject(from, 0, std::move(f));
    for (int i = 0; i < 50 && world.step(); i++) {}
  }
  for (int i = 0; i < 200 && world.step(); i++) {}
  return 0;
}
