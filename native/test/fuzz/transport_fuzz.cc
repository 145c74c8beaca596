// Any bytes on a connection between members: as either side of the handshake, or as links after it.
//   input := what u8 (0 acceptor, 1 initiator, 2 links; modulo 3) | bytes
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

#include "memory/transport/handshake.h"
#include "memory/transport/receiver.h"

using namespace dmi::memory;
using namespace dmi::memory::transport;

namespace {

struct Handler : FrameHandler {
  int depth = 0;
  uint64_t sum = 0;
  std::vector<std::byte> place = std::vector<std::byte>(1 << 16);
  void begin() override { if (depth++ != 0) abort(); }
  std::byte* sink(MemberId, std::span<const std::byte> head, size_t body_size) override {
    if (depth != 1) abort();
    return !head.empty() && body_size <= place.size() ? place.data() : nullptr;
  }
  void frame(MemberId, std::span<const std::byte> head, std::span<const std::byte> body) override {
    if (depth != 1) abort();
    for (auto b : head) sum += static_cast<uint8_t>(b);
    for (auto b : body) sum += static_cast<uint8_t>(b);
  }
  void end() override { if (--depth != 0) abort(); }
  void app(MemberId, std::span<const std::byte> bytes) override {
    if (depth != 0) abort();
    for (auto b : bytes) sum += static_cast<uint8_t>(b);
  }
};

void handshake(Handshake h, std::span<const std::byte> bytes) {
  while (h.state() == Handshake::State::Talking && !bytes.empty()) {
    const auto n = std::min(h.wanted(), bytes.size());
    if (n == 0) abort();  // it would wait for ever
    h.feed(bytes.first(n));
    bytes = bytes.subspan(n);
    h.take_output();
  }
  if (h.state() == Handshake::State::Done || h.state() == Handshake::State::Deciding) abort();  // without the key
  if (h.state() == Handshake::State::Failed && h.error().empty()) abort();
}

void links(std::span<const std::byte> bytes) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0) abort();
  Receiver receiver(1);
  Handler handler;
  while (!bytes.empty()) {  // in pieces: a frame may arrive in any
    const auto n = std::min<size_t>(bytes.size(), 1 + static_cast<size_t>(bytes[0]) * 37);
    if (write(ends[0], bytes.data(), n) != static_cast<ssize_t>(n)) abort();
    bytes = bytes.subspan(n);
    const auto result = receiver.pump(ends[1], handler);
    if (result == Receiver::Result::Broken && receiver.error().empty()) abort();
    if (result == Receiver::Result::Broken || result == Receiver::Result::Closed) break;
  }
  if (handler.depth != 0) abort();
  receiver.reset();
  close(ends[0]);
  close(ends[1]);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::span bytes(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
  const Identity self{"job", "secret", "build-1", 1};
  switch (data[0] % 3) {
    case 0: handshake(Handshake::respond(self), bytes); break;
    case 1: handshake(Handshake::initiate(self, 7, "member", {}, 0), bytes); break;
    case 2: links(bytes); break;
  }
  return 0;
}
