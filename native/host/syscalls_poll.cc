// Waiting for descriptors. Only standard input keeps a thread waiting: files and output are always ready. Of what pins a thread
// (pipes, sockets, …) nothing is known here, so calls that name one of those are refused.
#include <errno.h>
#include <poll.h>
#include <sys/mman.h>

#include <vector>

#include "host.h"
#include "platform.h"
#include "syscalls.h"

namespace dmi::host {
namespace {

constexpr size_t kMost = 4096;  // descriptors of a call: as many as a thread may have
constexpr short kIn = POLLIN | POLLRDNORM, kOut = POLLOUT | POLLWRNORM;

bool is(const Guest& g, int fd, FileKind kind) {
  const OpenFile* f = g.files.get(fd);
  return f && f->kind == kind;
}

// What an open descriptor is ready for.
short ready_for(Guest& g, int fd) {
  const OpenFile* f = g.files.get(fd);
  if (!f) return POLLNVAL;
  if (f->kind == FileKind::Output || f->kind == FileKind::Error) return kOut;
  if (f->kind != FileKind::Input) return kIn | kOut;
  if (input_left(g) > 0) return kIn;
  return input_ready(g) ? kIn | POLLHUP : 0;
}

int64_t nanoseconds(int64_t seconds, int64_t rest) { return seconds >= kForever / 2'000'000'000 ? kForever : seconds * 1'000'000'000 + rest; }

struct Patience {
  int64_t until;
  bool over;
};

// timeout: ns; negative: for ever. A call that is served again has begun before.
Patience patience(const Call& c, int64_t timeout) {
  const int64_t now = monotonic_ns();
  const int64_t until = c.guest.input.call ? c.guest.input.until : timeout < 0 || timeout >= kForever / 2 ? kForever : now + timeout;
  return {until, now >= until};
}

// Nothing is ready; `input`: some may come.
Next wait(Call& c, const Patience& p, bool input) {
  if (!p.over) return input ? await_input(c, p.until) : Host::get().scheduler().sleep(c.guest, p.until, 0);
  if (input) ask_for_input(c.guest);
  return give(c, 0);
}

Next poll_fds(Call& c, int64_t timeout) {
  Guest& g = c.guest;
  auto* fds = c.ptr<pollfd*>(0);
  const auto n = static_cast<size_t>(c.a[1]);
  if (n > kMost) return give(c, -EINVAL);
  if (n > 0 && !(readable(c, 0, n * sizeof *fds) && writable(c, 0, n * sizeof *fds))) return give(c, -EFAULT);
  for (size_t i = 0; i < n; i++)
    if (is(g, fds[i].fd, FileKind::Pinned)) return call_refuse(c);
  long ready = 0;
  bool input = false;
  for (size_t i = 0; i < n; i++) {
    pollfd& p = fds[i];
    p.revents = p.fd < 0 ? short{0} : static_cast<short>(ready_for(g, p.fd) & (p.events | POLLHUP | POLLNVAL));
    ready += p.revents != 0;
    input = input || ((p.events & kIn) && is(g, p.fd, FileKind::Input));
  }
  return ready ? give(c, ready) : wait(c, patience(c, timeout), input);
}

}  // namespace

Next call_poll(Call& c) { return poll_fds(c, static_cast<int>(c.a[2]) * 1'000'000ll); }

Next call_ppoll(Call& c) {
  const auto* t = c.ptr<const timespec*>(2);
  if (t && !readable(c, 2, sizeof *t)) return give(c, -EFAULT);
  return poll_fds(c, t ? nanoseconds(t->tv_sec, t->tv_nsec) : -1);
}

Next call_select(Call& c) {
  Guest& g = c.guest;
  if (static_cast<int>(c.a[0]) < 0) return give(c, -EINVAL);
  const size_t n = std::min(static_cast<size_t>(c.fd(0)), kMost), words = (n + 63) / 64;
  const auto* t = c.ptr<const int64_t*>(4);
  if (t && !readable(c, 4, 16)) return give(c, -EFAULT);
  const int64_t timeout = t ? nanoseconds(t[0], t[1] * (c.nr == SYS_select ? 1000 : 1)) : -1;
  uint64_t* const sets[] = {c.ptr<uint64_t*>(1), c.ptr<uint64_t*>(2), c.ptr<uint64_t*>(3)};  // to read, to write, exceptional
  for (const int arg : {1, 2, 3})
    if (c.a[arg] && !(readable(c, arg, words * 8) && writable(c, arg, words * 8))) return give(c, -EFAULT);
  const auto has = [&](int set, size_t fd) { return sets[set] && (sets[set][fd / 64] >> fd % 64 & 1); };
  std::vector<uint64_t> found[3] = {std::vector<uint64_t>(words), std::vector<uint64_t>(words), std::vector<uint64_t>(words)};
  long ready = 0;
  bool input = false;
  for (size_t fd = 0; fd < n; fd++) {
    if (!has(0, fd) && !has(1, fd) && !has(2, fd)) continue;
    const int number = static_cast<int>(fd);
    const short what = ready_for(g, number);
    if (what & POLLNVAL) return give(c, -EBADF);
    if (is(g, number, FileKind::Pinned)) return call_refuse(c);
    input = input || (has(0, fd) && is(g, number, FileKind::Input));
    for (const auto& [set, wanted] : {std::pair{0, kIn}, std::pair{1, kOut}})
      if (has(set, fd) && (what & wanted)) found[set][fd / 64] |= 1ull << fd % 64, ready++;
  }
  const Patience p = patience(c, timeout);
  if (ready || !input || p.over)  // else the call will be served again, and needs them as they are
    for (int i = 0; i < 3; i++)
      if (sets[i]) std::copy(found[i].begin(), found[i].end(), sets[i]);
  return ready ? give(c, ready) : wait(c, p, input);
}

}  // namespace dmi::host
