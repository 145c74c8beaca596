// What crosses the connection of a move: short framed messages, and page data that goes straight between region and socket.
#pragma once
#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "codec.h"
#include "guest.h"
#include "pages.h"

namespace dmi::host {

enum class MoveMessage : uint8_t { Offer = 1, Accept = 2, Refuse = 3, Ready = 4, Commit = 5, Running = 6, Abort = 7, Unknown = 8 };

constexpr uint32_t kMoveWire = 1;              // version of everything here
constexpr uint32_t kMaxMoveMessage = 64u << 20;

// One end of a move's connection. Every function throws Error("unreachable") when the connection breaks or stays silent
// longer than `timeout` seconds.
class MoveStream {
 public:
  MoveStream(int fd, double timeout);
  ~MoveStream();
  MoveStream(const MoveStream&) = delete;

  void send(MoveMessage type, const Writer& body = {});
  MoveMessage receive(std::vector<std::byte>& body);       // a frame
  MoveMessage expect(MoveMessage wanted);                  // a frame without contents of interest
  // Pages: batches of runs, each followed by its bytes; an empty batch ends them.
  void send_pages(const std::vector<Run>& runs, uint64_t& bytes);
  void receive_pages(const AddressSpace& space, uint64_t& bytes);

 private:
  void write_all(const void* data, size_t size);
  void read_all(void* to, size_t size);
  void splice_all(iovec part);  // whole pages that nobody changes
  int fd_;
  int pipe_[2] = {-1, -1};
};

// The files whose unchanged pages need not be sent, in the order of the offer.
struct OfferedFile { std::string path, hash; uint64_t size = 0; };

struct Offer {
  uint64_t id = 0;
  std::string build;
  std::vector<Extent> extents;
  std::vector<OfferedFile> files;
  struct OfferedArea { uint64_t start; Area area; uint32_t file; };  // file: index + 1, 0: anonymous
  std::vector<OfferedArea> areas;
  uint64_t resident = 0;  // bytes that will be sent, about
};

void write_offer(Writer& w, uint64_t id, Guest& g, const std::vector<OfferedFile>& files, uint64_t resident);
// Reads the offer; the guest gets everything but its memory. Throws Error("refused") on nonsense, or when a file cannot
// be opened here.
std::shared_ptr<Guest> read_offer(std::span<const std::byte> bytes, Offer& offer);

std::string hash_file(const std::string& real);  // SHA-256, hex; empty: cannot be read. Remembers by path, size and time.

}  // namespace dmi::host
