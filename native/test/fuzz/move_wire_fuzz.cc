// Any bytes as what another host sends in a move: an offer, a thread's state, a remapping, or the stream of messages and pages.
//   input := what u8 (0 offer, 1 thread, 2 two layouts, 3 stream; modulo 4) | bytes
// An offer's bytes follow its version, id and build, which are right.
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

#include "host/error.h"
#include "host/guest_wire.h"
#include "host/host.h"
#include "host/layout.h"
#include "host/move_layout.h"
#include "host/move_wire.h"

using namespace dmi::host;

namespace {

// Where the stream's pages may go: between what sanitizers use.
constexpr uint64_t kRegion = 0x2000'0000'0000, kRegionSize = 1 << 20;

void offer(std::span<const std::byte> bytes) {
  Writer w;
  w.num(kMoveWire), w.num<uint64_t>(99), w.text(Host::get().build());
  std::vector<std::byte> all(w.view().begin(), w.view().end());
  all.insert(all.end(), bytes.begin(), bytes.end());
  const Layout layout = read_offer(all).layout;
  for (const Extent& e : layout.extents)
    if (e.base < kZoneLow || e.base + e.size > kZoneHigh || e.base + e.size < e.base) abort();
  uint64_t last = 0;
  for (const Mapping& m : layout.mappings) {
    if (m.start < last || m.start >= m.end || m.file > layout.files.size()) abort();
    last = m.end;
  }
}

void thread(std::span<const std::byte> bytes) {
  Guest to;
  Reader r(bytes);
  read_guest(r, to);
}

void layouts(std::span<const std::byte> bytes) {
  Reader r(bytes);
  const Layout before = read_layout(r), after = read_layout(r);
  remapping(before.mappings, after.mappings);
}

void stream(std::span<const std::byte> bytes) {
  static const bool mapped = mmap(reinterpret_cast<void*>(kRegion), kRegionSize, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) == reinterpret_cast<void*>(kRegion);
  if (!mapped) abort();
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) abort();
  const auto n = std::min<size_t>(bytes.size(), 64 << 10);  // what a socket holds
  if (write(ends[0], bytes.data(), n) != static_cast<ssize_t>(n)) abort();
  close(ends[0]);
  MoveStream in(ends[1], 1);
  std::vector<std::byte> body;
  for (int i = 0; i < 4; i++) {
    const MoveMessage type = in.receive(body);
    if (type == MoveMessage::Look) in.receive_runs([](const Run& r) { if (r.size == 0 || ((r.start | r.size) & 4095)) abort(); });
    if (type != MoveMessage::Pages) continue;
    uint64_t received = 0;
    in.receive_pages([](const Run& r) { return r.start >= kRegion && r.size <= kRegionSize && r.start - kRegion <= kRegionSize - r.size; }, true, received);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::span bytes(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
  try {
    switch (data[0] % 4) {
      case 0: offer(bytes); break;
      case 1: thread(bytes); break;
      case 2: layouts(bytes); break;
      case 3: stream(bytes); break;
    }
  } catch (const Error& e) {
    if (e.code != "refused" && e.code != "unreachable") abort();
  }
  return 0;
}
