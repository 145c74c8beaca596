#include "move_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <optional>

#include "error.h"
#include "platform.h"
#include "populate.h"

namespace dmi::host {
namespace {

constexpr size_t kPipe = 1 << 20;            // bytes; the most an ordinary user may ask for
constexpr size_t kSpliceFrom = 256 << 10;   // bytes of a run from which handing pages over pays
constexpr uint64_t kReceiveStep = 4 << 20;  // bytes
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

}  // namespace

MoveStream::MoveStream(int fd, double timeout) : fd_(fd) { set_timeout(fd, timeout); }
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
  const auto not_there = [&](const iovec& v) {
    if (!missed) broken("reading pages");
    const auto from = reinterpret_cast<uint64_t>(v.iov_base) & ~(kPage - 1);
    missed->push_back({from, page_up(reinterpret_cast<uint64_t>(v.iov_base) + v.iov_len) - from});
    zeros(v.iov_len);
  };
  for (size_t at = 0; at < runs.size(); at += kBatchRuns) {
    const size_t n = std::min(kBatchRuns, runs.size() - at);
    const auto count = static_cast<uint32_t>(n);
    std::vector<iovec> parts;
    parts.push_back({const_cast<uint32_t*>(&count), sizeof count});
    parts.push_back({const_cast<Run*>(&runs[at]), n * sizeof(Run)});
    for (size_t i = 0; i < n; i++) {
      parts.push_back({reinterpret_cast<void*>(runs[at + i].start), runs[at + i].size});
      bytes += runs[at + i].size;
    }
    size_t together = IOV_MAX;
    for (size_t first = 0; first < parts.size();) {
      if (parts[first].iov_len >= kSpliceFrom) {
        if (const iovec rest = splice_all(parts[first++]); rest.iov_len > 0) not_there(rest);
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
        if (last - first == 1) not_there(parts[first++]);
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

void MoveStream::receive_pages(const std::function<bool(const Run&)>& acceptable, bool provisional, uint64_t& bytes) {
  std::vector<Run> runs;
  while (true) {
    uint32_t count = 0;
    read_all(&count, sizeof count);
    if (count == 0) return;
    if (count > kBatchRuns) throw Error("refused", "a batch of " + std::to_string(count) + " page runs; the limit is 512");
    runs.resize(count);
    read_all(runs.data(), count * sizeof(Run));
    for (const Run& r : runs) {
      if (((r.start | r.size) & (kPage - 1)) || r.size == 0 || !acceptable(r)) throw Error("refused", "a run of pages outside the thread's own mappings");
      std::optional<Populator> from_its_end;
      if (r.size >= Populator::kWorthwhile) from_its_end.emplace(r.start, r.size);
      for (uint64_t done = 0; done < r.size;) {
        const uint64_t step = std::min(r.size - done, kReceiveStep);
        read_all(reinterpret_cast<void*>(r.start + done), step, provisional);
        done += step;
        if (from_its_end) from_its_end->reached(r.start + done);
      }
      bytes += r.size;
    }
  }
}

}  // namespace dmi::host
