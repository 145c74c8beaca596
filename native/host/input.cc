#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include <algorithm>

#include "codec.h"
#include "host.h"
#include "platform.h"
#include "syscalls.h"

namespace dmi::host {
namespace {

// Between requests for the same bytes: nobody need have given an answer yet, and one may be long under way on a slow link.
constexpr int64_t kFirstPatience = 2'000'000'000, kMostPatience = 16'000'000'000;

// Takes up to `size` bytes to `to`, which the guest may write. Worker only.
size_t take(Guest& g, void* to, size_t size) {
  Input& in = g.input;
  const size_t n = std::min(size, in.left());
  memcpy(to, in.unread.data() + in.taken, n);  // without the lock: the guest's memory may have nothing behind it
  g.lock.lock();
  in.taken += n;
  g.lock.unlock();
  return n;
}

}  // namespace

void Input::save(Writer& w) const {
  w.num(offset), w.text(unread.substr(taken)), w.num(end);
  w.num(reinterpret_cast<uint64_t>(call));
  w.num<int64_t>(until - monotonic_ns());
}

void Input::load(Reader& r) {
  offset = r.num<uint64_t>(), unread = r.text(), end = r.num<bool>();
  call = reinterpret_cast<SystemCall*>(r.num<uint64_t>());
  const auto left = r.num<int64_t>();
  until = left < kForever / 2 ? monotonic_ns() + std::max<int64_t>(left, 0) : kForever;
}

bool input_ready(Guest& g) {
  g.lock.lock();
  const bool ready = g.input.ready();
  g.lock.unlock();
  return ready;
}

size_t input_left(Guest& g) {
  g.lock.lock();
  const size_t left = g.input.left();
  g.lock.unlock();
  return left;
}

void ask_for_input(Guest& g) {
  Input& in = g.input;
  g.lock.lock();
  const int64_t now = monotonic_ns();
  const bool ask = !in.ready() && now >= in.ask_at;
  if (ask) {
    in.patience = std::clamp(2 * in.patience, kFirstPatience, kMostPatience);
    in.ask_at = now + in.patience;
  }
  const uint64_t offset = in.offset;
  g.lock.unlock();
  if (ask) Host::get().control().send({{"t", "input-wanted"}, {"thread", g.name()}, {"offset", offset}});
}

Next await_input(Call& c, int64_t until) {
  Guest& g = c.guest;
  ask_for_input(g);
  g.lock.lock();
  g.input.call = &c.at;
  g.input.until = until;
  const int64_t wake = std::min(until, g.input.ask_at);
  g.lock.unlock();
  return Host::get().scheduler().sleep(g, wake, 0);
}

Next read_input(Call& c, const OpenFile& f, const iovec* to, size_t count) {
  Guest& g = c.guest;
  size_t wanted = 0;
  for (size_t i = 0; i < count; i++) wanted += to[i].iov_len;
  if (wanted == 0) return give(c, 0);
  if (!input_ready(g)) {
    if (!(f.flags & O_NONBLOCK)) return await_input(c, kForever);
    ask_for_input(g);
    return give(c, -EAGAIN);
  }
  long got = 0;
  for (size_t i = 0; i < count && g.input.left() > 0; i++) {
    const size_t size = std::min(to[i].iov_len, g.input.left());
    if (!g.space.allows(reinterpret_cast<uint64_t>(to[i].iov_base), size, PROT_WRITE)) return give(c, got ? got : -EFAULT);
    got += static_cast<long>(take(g, to[i].iov_base, size));
  }
  return give(c, got);
}

void Host::give_input(ThreadKey key, uint64_t offset, std::string data, bool end) {
  const auto g = find(key);
  if (!g) return;
  Input& in = g->input;
  bool woken = false;
  g->lock.lock();
  // What a mover looks at stays as it is; it is asked for again where the thread goes on.
  const bool expected = offset == in.offset && !in.ready() && g->state != State::Paused && g->state != State::Done;
  if (expected) {
    in.offset += data.size();
    in.unread = std::move(data);
    in.taken = 0;
    in.end = end;
    if (in.ready()) in.forget_request();
    woken = in.ready() && in.call && g->state == State::Sleeping && scheduler_.remove_sleeper(*g);
  }
  const bool paused = woken && g->pause_wanted;
  if (woken) g->state = paused ? State::Paused : State::Ready, g->rest = Rest::Run;
  g->lock.unlock();
  if (paused) scheduler_.on_paused(*g);
  else if (woken) scheduler_.make_ready(*g);
}

}  // namespace dmi::host
