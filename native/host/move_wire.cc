#include "move_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

#include "error.h"
#include "platform.h"
#include "populate.h"

namespace dmi::host {
namespace {

constexpr size_t kPipe = 1 << 20;            // bytes; the most an ordinary user may ask for
constexpr size_t kSpliceFrom = 256 << 10;   // bytes of a run from which handing pages over pays
constexpr uint64_t kReceiveStep = 4 << 20;  // bytes
constexpr uint64_t kSendStep = 4 << 20;     // bytes after which it is asked anew whether to compress
constexpr uint32_t kInPieces = 1u << 31;    // in a batch's count: the bytes of its runs come in pieces
constexpr size_t kBatchRuns = 512;          // per batch, also the most a frame may claim
constexpr int64_t kAttentive = 500'000;    // ns for which the next message is looked out for before sleeping

[[noreturn]] void broken(const char* what) {
  throw Error("unreachable", std::string("the connection of the move broke while ") + what + ": " +
                                 (errno == EAGAIN ? "no answer in time" : errno ? strerror(errno) : "closed by the other side"));
}

void set_timeout(int fd, double seconds) {
  timeval t{static_cast<time_t>(seconds), static_cast<suseconds_t>((seconds - static_cast<double>(static_cast<time_t>(seconds))) * 1e6)};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
}

Compression::Mode compression_mode() {
  static const Compression::Mode mode = PagePacker::permitted() ? Compression::mode(getenv("DMI_HOST_COMPRESS")) : Compression::Mode::Never;
  return mode;
}

}  // namespace

MoveStream::MoveStream(int fd, double timeout) : fd_(fd), compression_(compression_mode()) { set_timeout(fd, timeout); }
MoveStream::~MoveStream() {
  close(fd_);
  for (int end : pipe_)
    if (end >= 0) close(end);
}

void MoveStream::write_all(const void* data, size_t size, int flags) {
  auto* p = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t n = ::send(fd_, p, size, MSG_NOSIGNAL | flags);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) broken("sending");
    p += n;
    size -= static_cast<size_t>(n);
  }
}

void MoveStream::read_all(void* to, size_t size, bool provisional) {
  auto* p = static_cast<char*>(to);
  while (size > 0) {
    if (attentive_ && size < kSpliceFrom) await();
    ssize_t n = recv(fd_, p, size, size < kSpliceFrom ? 0 : MSG_WAITALL);
    if (n < 0 && errno == EFAULT && provisional) {
      // Nothing of the piece is lost but what has no place: the kernel gives up a whole segment for one page that is not there.
      char page[kPage];
      n = recv(fd_, page, std::min(size, kPage - (reinterpret_cast<uint64_t>(p) & (kPage - 1))), MSG_WAITALL);
      if (n > 0) {
        const iovec from{page, static_cast<size_t>(n)}, into{p, static_cast<size_t>(n)};
        process_vm_writev(getpid(), &from, 1, &into, 1, 0);
      }
    }
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) errno = 0;
    if (n <= 0) broken("receiving");
    p += n;
    size -= static_cast<size_t>(n);
  }
}

void MoveStream::send(MoveMessage type, const Writer& body, bool more) {
  std::vector<std::byte> frame(5 + body.size());
  const auto size = static_cast<uint32_t>(body.size());
  memcpy(frame.data(), &size, 4);
  frame[4] = static_cast<std::byte>(type);
  std::copy(body.view().begin(), body.view().end(), frame.begin() + 5);
  write_all(frame.data(), frame.size(), more ? MSG_MORE : 0);
}

// A thread stands still until its last bytes are taken in, and to be woken for them takes longer than the rest. One move at a time
// is so eager: many together keep the processor busy anyway. The source never is: by the time of the answer the thread runs.
void MoveStream::await() {
  static std::atomic_flag taken;
  if (taken.test_and_set()) return;
  const int64_t until = monotonic_ns() + kAttentive;
  char c;
  while (recv(fd_, &c, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN && monotonic_ns() < until) sched_yield();
  taken.clear();
}

MoveMessage MoveStream::receive(std::vector<std::byte>& body) {
  uint8_t head[5];
  read_all(head, sizeof head);
  uint32_t size;
  memcpy(&size, head, 4);
  if (size > kMaxMoveMessage) throw Error("refused", "a move message of " + std::to_string(size) + " bytes; the limit is 64 MiB");
  body.resize(size);
  read_all(body.data(), size);
  return static_cast<MoveMessage>(head[4]);
}

void MoveStream::drain() {
  shutdown(fd_, SHUT_WR);
  std::vector<std::byte> sink(256 << 10);
  for (ssize_t n; (n = recv(fd_, sink.data(), sink.size(), 0)) > 0 || (n < 0 && errno == EINTR);) {}
}

MoveMessage MoveStream::expect(MoveMessage wanted) {
  std::vector<std::byte> body;
  const MoveMessage got = receive(body);
  if (got == wanted) return got;
  if (got == MoveMessage::Refuse) {
    Reader r(body);
    const std::string code = r.text(), reason = r.text();
    throw Error(r.ok() ? code : "refused", reason);
  }
  throw Error("refused", "unexpected message " + std::to_string(static_cast<int>(got)) + " in a move");
}

void MoveStream::send_pages(const std::vector<Run>& runs, uint64_t& bytes, std::vector<Run>* missed) {
  const NotThere not_there = [&](uint64_t at, uint64_t size) {
    if (!missed) broken("reading pages");
    missed->push_back({page_down(at), page_up(at + size) - page_down(at)});
  };
  size_t n = 0;
  for (size_t at = 0; at < runs.size(); at += n) {
    uint64_t size = 0;
    for (n = 0; at + n < runs.size() && n < kBatchRuns && (n == 0 || size + runs[at + n].size <= kSendStep); n++) size += runs[at + n].size;
    const std::span<const Run> batch(&runs[at], n);
    // A long run may be begun plain and ended compressed.
    if (compression_.pack() || (compression_.possible() && size > kSendStep)) {
      send_in_pieces(batch, not_there);
    } else {
      const double begin = monotonic_seconds();
      send_whole(batch, not_there);
      page_bytes_ += size;
      compression_.sent(size, size, monotonic_seconds() - begin, 0);
    }
    bytes += size;
  }
}

void MoveStream::send_whole(std::span<const Run> runs, const NotThere& not_there) {
  const auto gone = [&](const iovec& v) {
    not_there(reinterpret_cast<uint64_t>(v.iov_base), v.iov_len);
    zeros(v.iov_len);
  };
  const auto count = static_cast<uint32_t>(runs.size());
  std::vector<iovec> parts;
  parts.push_back({const_cast<uint32_t*>(&count), sizeof count});
  parts.push_back({const_cast<Run*>(runs.data()), runs.size_bytes()});
  for (const Run& r : runs) parts.push_back({reinterpret_cast<void*>(r.start), r.size});
  size_t together = IOV_MAX;
  for (size_t first = 0; first < parts.size();) {
    if (parts[first].iov_len >= kSpliceFrom) {
      if (const iovec rest = splice_all(parts[first++]); rest.iov_len > 0) gone(rest);
      continue;
    }
    size_t last = first;
    while (last < parts.size() && last - first < together && parts[last].iov_len < kSpliceFrom) last++;
    msghdr m{};
    m.msg_iov = &parts[first];
    m.msg_iovlen = last - first;
    ssize_t sent = sendmsg(fd_, &m, MSG_NOSIGNAL | MSG_MORE);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EFAULT) {
      // Of several parts it may have been any: one by one from here.
      if (last - first == 1) gone(parts[first++]);
      together = 1;
      continue;
    }
    if (sent <= 0) broken("sending pages");
    while (sent > 0) {
      iovec& v = parts[first];
      const size_t k = std::min(v.iov_len, static_cast<size_t>(sent));
      v.iov_base = static_cast<char*>(v.iov_base) + k;
      v.iov_len -= k;
      sent -= static_cast<ssize_t>(k);
      if (v.iov_len == 0) first++;
    }
  }
}

void MoveStream::send_in_pieces(std::span<const Run> runs, const NotThere& not_there) {
  if (!packer_) packer_ = std::make_unique<PagePacker>();
  const uint32_t count = static_cast<uint32_t>(runs.size()) | kInPieces;
  write_all(&count, sizeof count, MSG_MORE);
  write_all(runs.data(), runs.size_bytes(), MSG_MORE);
  std::vector<char> pieces;  // on their way out, of `waiting` bytes of memory
  uint64_t waiting = 0;
  double packing = 0, begin = monotonic_seconds();
  const auto tell = [&](uint64_t memory, uint64_t wire) {
    page_bytes_ += wire;
    const double now = monotonic_seconds();
    compression_.sent(memory, wire, now - begin, packing);
    begin = now, packing = 0;
  };
  const auto flush = [&] {
    if (waiting == 0) return;
    write_all(pieces.data(), pieces.size(), MSG_MORE);
    tell(waiting, pieces.size());
    pieces.clear(), waiting = 0;
  };
  for (const Run& r : runs)
    for (uint64_t done = 0, step = 0; done < r.size; done += step) {
      const uint64_t at = r.start + done;
      if (!compression_.pack()) {
        flush();
        step = std::min(r.size - done, kSendStep);
        const PieceHead head{static_cast<uint32_t>(step), 0};
        write_all(&head, sizeof head, MSG_MORE);
        if (const iovec rest = splice_all({reinterpret_cast<void*>(at), step}); rest.iov_len > 0) {
          not_there(reinterpret_cast<uint64_t>(rest.iov_base), rest.iov_len);
          zeros(rest.iov_len);
        }
        tell(step, step);
        continue;
      }
      step = std::min<uint64_t>(r.size - done, kPiece);
      const double before = monotonic_seconds();
      const size_t so_far = pieces.size();
      const size_t got = packer_->pack(at, static_cast<uint32_t>(step), pieces);
      packing += monotonic_seconds() - before;
      if (got < step) not_there(at + got, step - got);
      waiting += step;
      if (pieces.size() - so_far < step) compressed_ += step;
      if (waiting >= kPiece) flush();
    }
  flush();
}

void MoveStream::end_pages() {
  const uint32_t end = 0;
  write_all(&end, sizeof end);
}

void MoveStream::send_runs(const std::vector<Run>& runs) {
  for (size_t at = 0; at < runs.size(); at += kBatchRuns) {
    const auto count = static_cast<uint32_t>(std::min(kBatchRuns, runs.size() - at));
    write_all(&count, sizeof count, MSG_MORE);
    write_all(&runs[at], count * sizeof(Run), MSG_MORE);
  }
  end_pages();
}

void MoveStream::receive_runs(const std::function<void(const Run&)>& each) {
  std::vector<Run> runs;
  for (uint32_t count = 0; read_all(&count, sizeof count), count > 0;) {
    if (count > kBatchRuns) throw Error("refused", "a batch of " + std::to_string(count) + " page runs; the limit is 512");
    runs.resize(count);
    read_all(runs.data(), count * sizeof(Run));
    for (const Run& r : runs) {
      if (((r.start | r.size) & (kPage - 1)) || r.size == 0) throw Error("refused", "a run that is not of whole pages");
      each(r);
    }
  }
}

void MoveStream::zeros(size_t size) {
  static const char zero[64 << 10] = {};
  for (size_t k; size > 0; size -= k) write_all(zero, k = std::min(size, sizeof zero));
}

// Hands whole pages to the socket instead of copying them: half of the source's work. What the thread writes before they
// have left goes along; it is sent again like everything written since.
iovec MoveStream::splice_all(iovec part) {
  if (pipe_[0] < 0) {
    if (pipe2(pipe_, O_CLOEXEC) != 0) return write_all(part.iov_base, part.iov_len), iovec{};
    fcntl(pipe_[1], F_SETPIPE_SZ, kPipe);
  }
  while (part.iov_len > 0) {
    iovec v{part.iov_base, std::min(part.iov_len, kPipe)};
    ssize_t piped = vmsplice(pipe_[1], &v, 1, 0);
    if (piped < 0 && errno == EINTR) continue;
    if (piped < 0 && errno == EFAULT) return part;
    if (piped <= 0) broken("reading pages");
    part.iov_base = static_cast<char*>(part.iov_base) + piped;
    part.iov_len -= static_cast<size_t>(piped);
    while (piped > 0) {
      const ssize_t sent = splice(pipe_[0], nullptr, fd_, nullptr, static_cast<size_t>(piped), part.iov_len > 0 ? SPLICE_F_MORE : 0);
      if (sent < 0 && errno == EINTR) continue;
      if (sent <= 0) broken("sending pages");
      piped -= sent;
    }
  }
  return part;
}

// Gets a large run's pages ready while its bytes come in.
class MoveStream::Ahead {
 public:
  explicit Ahead(const Run& r) {
    if (r.size >= Populator::kWorthwhile) from_its_end_.emplace(r.start, r.size);
  }
  void reached(uint64_t address) {
    if (from_its_end_) from_its_end_->reached(address);
  }

 private:
  std::optional<Populator> from_its_end_{};
};

void MoveStream::receive_whole(const Run& r, bool provisional) {
  Ahead ahead(r);
  receive_plain(r.start, r.size, provisional, ahead);
}

void MoveStream::receive_plain(uint64_t at, uint64_t size, bool provisional, Ahead& ahead) {
  for (const uint64_t end = at + size; at < end;) {
    const uint64_t step = std::min(end - at, kReceiveStep);
    read_all(reinterpret_cast<void*>(at), step, provisional);
    ahead.reached(at += step);
  }
}

void MoveStream::receive_in_pieces(const Run& r, bool provisional) {
  // A long run comes over a link that takes its time: not worth to look out for each piece.
  const bool attentive = std::exchange(attentive_, attentive_ && r.size < kReceiveStep);
  Ahead ahead(r);
  PieceHead piece;
  for (uint64_t done = 0; done < r.size; done += piece.memory) {
    const uint64_t at = r.start + done;
    read_all(&piece, sizeof piece);
    if (piece.memory == 0 || (piece.memory & (kPage - 1)) || piece.memory > r.size - done || piece.packed >= piece.memory || (piece.packed > 0 && piece.memory > kPiece))
      throw Error("refused", "a piece of " + std::to_string(piece.memory) + " bytes of pages, compressed to " + std::to_string(piece.packed) +
                                 ", where " + std::to_string(r.size - done) + " are due");
    if (piece.packed == 0) {
      receive_plain(at, piece.memory, provisional, ahead);
      continue;
    }
    if (!unpacker_) unpacker_ = std::make_unique<PageUnpacker>();
    read_all(unpacker_->room(), piece.packed);
    if (!unpacker_->unpack(piece, at) && !(provisional && errno == EFAULT)) broken("receiving");
    ahead.reached(at + piece.memory);
  }
  attentive_ = attentive;
}

void MoveStream::receive_pages(const std::function<bool(const Run&)>& acceptable, bool provisional, uint64_t& bytes) {
  std::vector<Run> runs;
  while (true) {
    uint32_t count = 0;
    read_all(&count, sizeof count);
    if (count == 0) return;
    const bool in_pieces = count & kInPieces;
    count &= ~kInPieces;
    if (count > kBatchRuns) throw Error("refused", "a batch of " + std::to_string(count) + " page runs; the limit is 512");
    runs.resize(count);
    read_all(runs.data(), count * sizeof(Run));
    for (const Run& r : runs) {
      if (((r.start | r.size) & (kPage - 1)) || r.size == 0 || !acceptable(r)) throw Error("refused", "a run of pages outside the thread's own mappings");
      if (in_pieces) receive_in_pieces(r, provisional);
      else receive_whole(r, provisional);
      bytes += r.size;
    }
  }
}

}  // namespace dmi::host
