// What crosses the connection of a move: short framed messages, and page data that goes straight between region and socket.
#pragma once
#include <sys/uio.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "codec.h"
#include "compression.h"
#include "page_packer.h"
#include "pages.h"

namespace dmi::host {

enum class MoveMessage : uint8_t { Offer = 1, Accept = 2, Refuse = 3, Running = 6, Abort = 7, Pages = 9, State = 10, Look = 11, Taken = 12 };

constexpr uint32_t kMoveWire = 9;              // version of everything here
constexpr uint32_t kMaxMoveMessage = 64u << 20;

inline Writer id_only(uint64_t id) {
  Writer w;
  w.num(id);
  return w;
}

// One end of a move's connection. Every function throws Error("unreachable") when the connection breaks or stays silent
// longer than `timeout` seconds.
class MoveStream {
 public:
  MoveStream(int fd, double timeout);
  ~MoveStream();
  MoveStream(const MoveStream&) = delete;

  void send(MoveMessage type, const Writer& body = {}, bool more = false);  // more: what follows at once may share a packet
  MoveMessage receive(std::vector<std::byte>& body);       // a frame
  void drain();                                            // discards what comes, until the other side has closed
  MoveMessage expect(MoveMessage wanted);                  // a frame without contents of interest
  // Pages: batches of runs, each followed by its bytes; an empty batch, end_pages(), ends them. In batches marked so each run's bytes
  // come in pieces, some of them compressed (compression.h). Of pages that the thread unmaps while they are sent, zeros arrive.
  void send_pages(const std::vector<Run>& runs, uint64_t& bytes, std::vector<Run>* missed = nullptr);  // missed: what was zeros
  void end_pages();
  // Runs without their bytes, which the other side reads itself: batches like those of pages, and their end.
  void send_runs(const std::vector<Run>& runs);
  void receive_runs(const std::function<void(const Run&)>& each);
  // `provisional`: the thread still runs, and may have mapped something else there than is mapped here; what does not fit is
  // passed over and will come again.
  void receive_pages(const std::function<bool(const Run&)>& acceptable, bool provisional, uint64_t& bytes);

  // Of the pages sent: what went over, and how much memory of it was compressed.
  uint64_t page_bytes() const { return page_bytes_; }
  uint64_t compressed() const { return compressed_; }

  void be_attentive() { attentive_ = true; }  // what comes next comes soon: worth a short look out before sleeping
  int fd() const { return fd_; }

 private:
  void await();
  void write_all(const void* data, size_t size, int flags = 0);
  void read_all(void* to, size_t size, bool provisional = false);
  iovec splice_all(iovec part);  // whole pages; gives what could not be read
  void zeros(size_t size);
  using NotThere = std::function<void(uint64_t at, uint64_t size)>;
  void send_whole(std::span<const Run> runs, const NotThere& not_there);
  void send_in_pieces(std::span<const Run> runs, const NotThere& not_there);
  class Ahead;
  void receive_plain(uint64_t at, uint64_t size, bool provisional, Ahead& ahead);
  void receive_whole(const Run& run, bool provisional);
  void receive_in_pieces(const Run& run, bool provisional);
  int fd_;
  bool attentive_ = false;
  int pipe_[2] = {-1, -1};
  Compression compression_;
  std::unique_ptr<PagePacker> packer_{};      // when first needed
  std::unique_ptr<PageUnpacker> unpacker_{};  // the same
  uint64_t page_bytes_ = 0, compressed_ = 0;
};

}  // namespace dmi::host
