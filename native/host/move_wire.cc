#include "move_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>

#include "error.h"
#include "host.h"
#include "layout.h"
#include "platform.h"
#include "populate.h"

namespace dmi::host {
namespace {

constexpr size_t kPipe = 1 << 20;            // bytes; the most an ordinary user may ask for
constexpr size_t kSpliceFrom = 256 << 10;   // bytes of a run from which handing pages over pays
constexpr uint64_t kReceiveStep = 4 << 20;  // bytes
constexpr size_t kBatchRuns = 512;        // per batch, also the most a frame may claim

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

void MoveStream::write_all(const void* data, size_t size) {
  auto* p = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t n = ::send(fd_, p, size, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) broken("sending");
    p += n;
    size -= static_cast<size_t>(n);
  }
}

void MoveStream::read_all(void* to, size_t size) {
  auto* p = static_cast<char*>(to);
  while (size > 0) {
    const ssize_t n = recv(fd_, p, size, MSG_WAITALL);
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) errno = 0;
    if (n <= 0) broken("receiving");
    p += n;
    size -= static_cast<size_t>(n);
  }
}

void MoveStream::send(MoveMessage type, const Writer& body) {
  std::vector<std::byte> frame(5 + body.size());
  const auto size = static_cast<uint32_t>(body.size());
  memcpy(frame.data(), &size, 4);
  frame[4] = static_cast<std::byte>(type);
  std::copy(body.view().begin(), body.view().end(), frame.begin() + 5);
  write_all(frame.data(), frame.size());
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

void MoveStream::send_pages(const std::vector<Run>& runs, uint64_t& bytes) {
  for (size_t at = 0; at <= runs.size(); at += kBatchRuns) {
    const size_t n = std::min(kBatchRuns, runs.size() - at);
    const auto count = static_cast<uint32_t>(n);
    std::vector<iovec> parts;
    parts.push_back({const_cast<uint32_t*>(&count), sizeof count});
    if (n > 0) parts.push_back({const_cast<Run*>(&runs[at]), n * sizeof(Run)});
    for (size_t i = 0; i < n; i++) {
      parts.push_back({reinterpret_cast<void*>(runs[at + i].start), runs[at + i].size});
      bytes += runs[at + i].size;
    }
    for (size_t first = 0; first < parts.size();) {
      if (parts[first].iov_len >= kSpliceFrom) {
        splice_all(parts[first++]);
        continue;
      }
      size_t last = first;
      while (last < parts.size() && last - first < IOV_MAX && parts[last].iov_len < kSpliceFrom) last++;
      msghdr m{};
      m.msg_iov = &parts[first];
      m.msg_iovlen = last - first;
      ssize_t sent = sendmsg(fd_, &m, MSG_NOSIGNAL | (last < parts.size() ? MSG_MORE : 0));
      if (sent < 0 && errno == EINTR) continue;
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
    if (n == 0) return;
  }
  const uint32_t end = 0;
  write_all(&end, sizeof end);
}

// Hands whole pages to the socket instead of copying them: half of the source's work. They stay as they are until the
// destination has them, as the thread does not run; should it run on here after all, nobody uses what was sent.
void MoveStream::splice_all(iovec part) {
  if (pipe_[0] < 0) {
    if (pipe2(pipe_, O_CLOEXEC) != 0) return write_all(part.iov_base, part.iov_len);
    fcntl(pipe_[1], F_SETPIPE_SZ, kPipe);
  }
  while (part.iov_len > 0) {
    iovec v{part.iov_base, std::min(part.iov_len, kPipe)};
    ssize_t piped = vmsplice(pipe_[1], &v, 1, 0);
    if (piped < 0 && errno == EINTR) continue;
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
}

void MoveStream::receive_pages(const AddressSpace& space, uint64_t& bytes) {
  std::vector<Run> runs;
  while (true) {
    uint32_t count = 0;
    read_all(&count, sizeof count);
    if (count == 0) return;
    if (count > kBatchRuns) throw Error("refused", "a batch of " + std::to_string(count) + " page runs; the limit is 512");
    runs.resize(count);
    read_all(runs.data(), count * sizeof(Run));
    for (const Run& r : runs) {
      if ((r.start | r.size) & (kPage - 1) || r.size == 0 || !space.contains(r.start, r.size))
        throw Error("refused", "a run of pages outside the thread's own memory");
      for (uint64_t a = r.start; a < r.start + r.size;) {
        const Area* area = space.find(a);
        if (!area) throw Error("refused", "a run of pages that no mapping of the thread covers");
        a = area->end;
      }
      std::optional<Populator> from_its_end;
      if (r.size >= Populator::kWorthwhile) from_its_end.emplace(r.start, r.size);
      for (uint64_t done = 0; done < r.size;) {
        const uint64_t step = std::min(r.size - done, kReceiveStep);
        read_all(reinterpret_cast<void*>(r.start + done), step);
        done += step;
        if (from_its_end) from_its_end->reached(r.start + done);
      }
      bytes += r.size;
    }
  }
}

// ---- the offer -------------------------------------------------------------------------------------------------------

namespace {

void write_op(Writer& w, const Pending& p) {
  const memory::Op& o = p.op;
  w.num(o.kind), w.num(o.mode), w.num(o.reduce_op), w.num(o.reduce_type), w.num(o.tag), w.num(o.pnum);
  w.num(o.addr), w.num(o.addr2), w.num(o.size), w.num(o.value);
  w.num(reinterpret_cast<uint64_t>(o.in)), w.num(reinterpret_cast<uint64_t>(o.in2)), w.num(reinterpret_cast<uint64_t>(o.out));
  w.num(o.in_size), w.num(o.out_size), w.num(o.thread), w.num(o.target), w.num(o.waiter), w.num(o.parked);
  w.num(reinterpret_cast<uint64_t>(p.args)), w.num(p.handle), w.num(p.done), w.num(p.result);
  w.text(p.message);
}

std::unique_ptr<Pending> read_op(Reader& r, Guest& g) {
  auto p = std::make_unique<Pending>();
  memory::Op& o = p->op;
  o.kind = r.num<memory::OpKind>(), o.mode = r.num<memory::Mode>(), o.reduce_op = r.num<memory::ReduceOp>();
  o.reduce_type = r.num<memory::ReduceType>(), o.tag = r.num<int32_t>(), o.pnum = r.num<int32_t>();
  o.addr = r.num<int64_t>(), o.addr2 = r.num<int64_t>(), o.size = r.num<int64_t>(), o.value = r.num<int64_t>();
  o.in = reinterpret_cast<const std::byte*>(r.num<uint64_t>()), o.in2 = reinterpret_cast<const std::byte*>(r.num<uint64_t>());
  o.out = reinterpret_cast<std::byte*>(r.num<uint64_t>());
  o.in_size = r.num<int64_t>(), o.out_size = r.num<int64_t>(), o.thread = r.num<uint64_t>(), o.target = r.num<uint64_t>();
  o.waiter = r.num<uint64_t>(), o.parked = r.num<bool>();
  p->args = reinterpret_cast<dmi_gate_op*>(r.num<uint64_t>());
  p->handle = r.num<uint64_t>(), p->done = r.num<bool>(), p->result = r.num<int64_t>();
  p->message = r.text();
  p->guest = &g;
  o.user = p.get();
  return p;
}

}  // namespace

void write_offer(Writer& w, uint64_t id, Guest& g, const std::vector<OfferedFile>& files, uint64_t resident) {
  w.num(kMoveWire);
  w.num(id);
  w.text(Host::get().build());
  w.num(resident);
  w.num<uint64_t>(g.space.extents().size());
  for (const Extent& e : g.space.extents()) w.num(e.base), w.num(e.size);
  w.num<uint64_t>(files.size());
  for (const OfferedFile& f : files) w.text(f.path), w.text(f.hash), w.num(f.size);
  w.num<uint64_t>(g.space.areas().size());
  for (const auto& [start, a] : g.space.areas()) {
    uint32_t file = 0;
    for (uint32_t i = 0; a.file && i < files.size(); i++)
      if (files[i].path == a.file->path) file = i + 1;
    w.num(start), w.num(a.end), w.num(a.prot), w.num(file), w.num(a.offset);
  }
  w.num(g.space.brk_start()), w.num(g.space.brk_now()), w.num(g.space.stack_low()), w.num(g.space.stack_high());
  w.num(g.key), w.num(g.role), w.num(g.rank), w.num(g.count), w.num(g.arg), w.num(g.result), w.num(g.main), w.num(g.has_event);
  w.text(g.cwd), w.text(g.error_text);
  w.num(g.context.sp), w.num(g.context.result);
  w.num(g.rest);
  w.num<int64_t>(g.rest == Rest::Sleep ? g.wake_at - monotonic_ns() : 0);
  w.num(g.sleep_result);
  w.num<bool>(g.rest == Rest::Resume && g.pending != nullptr);
  if (g.rest == Rest::Resume && g.pending) write_op(w, *g.pending);
  w.num<uint64_t>(g.async.size());
  for (const auto& p : g.async) write_op(w, *p);
  w.num(g.next_handle), w.num(reinterpret_cast<uint64_t>(g.waiting));
  w.num(g.cpu_ticks.load()), w.num(g.system_calls), w.num(g.moves);
  for (int stream : {1, 2}) w.text(Host::get().output().peek(g.key, stream));
  g.files.save(w);
}

std::shared_ptr<Guest> read_offer(std::span<const std::byte> bytes, Offer& offer) {
  Reader r(bytes);
  if (const auto wire = r.num<uint32_t>(); wire != kMoveWire)
    throw Error("refused", "the source speaks move wire version " + std::to_string(wire) + ", this host " + std::to_string(kMoveWire));
  auto g = std::make_shared<Guest>();
  offer.id = r.num<uint64_t>();
  offer.build = r.text();
  if (offer.build != Host::get().build())
    throw Error("refused", "the source is another build of dmi-host (" + offer.build.substr(0, 12) + ", here " + Host::get().build().substr(0, 12) +
                               "): threads move only between equal builds");
  offer.resident = r.num<uint64_t>();
  offer.extents.resize(r.count(16));
  for (Extent& e : offer.extents) {
    e.base = r.num<uint64_t>(), e.size = r.num<uint64_t>();
    if (((e.base | e.size) & (kPage - 1)) || e.size == 0 || e.base < kZoneLow || e.base >= kZoneHigh || e.size > kZoneHigh - e.base)
      throw Error("refused", "an extent outside the thread zone in the offer");
  }
  offer.files.resize(r.count(24));
  for (OfferedFile& f : offer.files) f.path = r.text(), f.hash = r.text(), f.size = r.num<uint64_t>();
  const uint64_t areas = r.count(32);
  uint64_t last = 0;
  for (uint64_t i = 0; i < areas && r.ok(); i++) {
    Offer::OfferedArea a{};
    a.start = r.num<uint64_t>(), a.area.end = r.num<uint64_t>(), a.area.prot = r.num<int>(), a.file = r.num<uint32_t>();
    a.area.offset = r.num<uint64_t>();
    const bool inside = std::any_of(offer.extents.begin(), offer.extents.end(), [&](const Extent& e) {
      return a.start >= e.base && a.area.end <= e.base + e.size;
    });
    if (!r.ok() || !inside || a.start < last || a.area.end <= a.start || ((a.start | a.area.end | a.area.offset) & (kPage - 1)) ||
        a.file > offer.files.size() || (a.area.prot & ~7))
      throw Error("refused", "a malformed mapping in the offer");
    last = a.area.end;
    offer.areas.push_back(std::move(a));
  }
  const auto brk_start = r.num<uint64_t>(), brk = r.num<uint64_t>();
  g->space.set_brk(brk_start, brk);
  const auto low = r.num<uint64_t>(), high = r.num<uint64_t>();
  g->space.set_stack(low, high);
  g->key = r.num<uint64_t>(), g->role = r.num<int32_t>(), g->rank = r.num<int32_t>(), g->count = r.num<int32_t>(), g->arg = r.num<int64_t>();
  g->result = r.num<int64_t>(), g->main = r.num<bool>(), g->has_event = r.num<bool>();
  g->cwd = r.text(), g->error_text = r.text();
  g->context.sp = r.num<uint64_t>(), g->context.result = r.num<int64_t>();
  g->rest = r.num<Rest>();
  g->wake_at = monotonic_ns() + r.num<int64_t>();
  g->sleep_result = r.num<int64_t>();
  if (r.num<bool>()) g->pending = read_op(r, *g);
  const uint64_t async = r.count(100);
  for (uint64_t i = 0; i < async && r.ok(); i++) g->async.push_back(read_op(r, *g));
  g->next_handle = r.num<uint64_t>();
  g->waiting = reinterpret_cast<dmi_gate_wait*>(r.num<uint64_t>());
  g->cpu_ticks = r.num<uint64_t>(), g->system_calls = r.num<uint64_t>(), g->moves = r.num<uint64_t>() + 1;
  for (std::string& line : g->carried) line = r.text();
  if (!r.ok()) throw Error("refused", "a truncated offer");
  g->files.load(r);
  g->state = State::Paused;
  return g;
}

std::string hash_file(const std::string& real) {
  static std::mutex mutex;
  static std::map<std::string, std::string> known;  // path, size and time -> hash
  const int fd = open(real.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  struct stat st;
  std::string key, hex;
  if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) return close(fd), std::string{};  // a device may have no end
  {
    key = real + "|" + std::to_string(st.st_size) + "|" + std::to_string(st.st_mtim.tv_sec) + "." + std::to_string(st.st_mtim.tv_nsec);
    std::lock_guard hold(mutex);
    if (auto it = known.find(key); it != known.end()) hex = it->second;
  }
  if (hex.empty()) {
    crypto_hash_sha256_state s;
    crypto_hash_sha256_init(&s);
    std::vector<unsigned char> buffer(256 << 10);
    ssize_t n;
    while ((n = read(fd, buffer.data(), buffer.size())) > 0) crypto_hash_sha256_update(&s, buffer.data(), static_cast<size_t>(n));
    unsigned char out[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_final(&s, out);
    char text[2 * sizeof out + 1];
    sodium_bin2hex(text, sizeof text, out, sizeof out);
    if (n == 0) hex = text;
    std::lock_guard hold(mutex);
    known[key] = hex;
  }
  close(fd);
  return hex;
}

}  // namespace dmi::host
