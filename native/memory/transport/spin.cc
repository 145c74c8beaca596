// Who polls.
//
// A worker that spins in poll() and the communication thread that sleeps in epoll_wait would both be woken by arriving
// data: a wake that costs the sender microseconds. So the communication thread does not sleep in epoll while workers
// poll: it is *parked* on a futex, with a time limit.
//
//   serving: nobody else polls; blocks in epoll_wait (after traffic it spins for spin_us first).
//      data comes while a worker spins -> parked   (the only needless wake)
//   parked: sleeps kHandOver at a time.
//      nobody has polled for kHandOver            -> serving   (also when the spinning worker lost its core)
//      the last spinning worker gave up, idle     -> serving   (it wakes us)
//
// Whoever spins asks the socket of the peer that was last heard of, and epoll only every kLookAround-th time: a system call
// less on the way of an answer.
//
// A worker that leaves poll() with work in its hands wakes nobody: it will probably be back, and if it is not, kHandOver
// limits what its absence costs. Probing (epoll_wait with no timeout) is done without any lock, so a worker that is
// preempted there, where it is most of the time, holds nobody up.
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>

#include "clock.h"
#include "peer.h"

namespace dmi::memory::transport {
namespace {

constexpr int64_t kHandOver = 100'000;                       // ns
constexpr int64_t kCalm = 10 * kMillisecond, kLongestCalm = 160 * kMillisecond;
// How long the communication thread looks out for more, and what it takes for the loss of its core, ns. Through sockets an answer to
// an answer takes no longer, and whoever waits for this core, perhaps to give it, waits no longer either. Through memory much comes in
// small pieces, and waking somebody for each takes longer than copying it.
struct Patience {
  int64_t look_out, lost_core;
};
constexpr Patience kWithSockets{20'000, 30'000}, kWithMemory{50'000, 100'000};
constexpr unsigned kLookAround = 4;                          // of so many looks for data one is at all sockets,
constexpr unsigned kLookUp = 32;                             // or of so many when data comes through memory

}  // namespace

bool Transport::poll(int spin_us) {
  const auto happenings = happenings_.load(std::memory_order_acquire);
  spinners_.fetch_add(1);
  int64_t deadline = 0;
  bool worked = false;
  for (unsigned turn = 1;; turn++) {
    heartbeat_.store(heartbeat_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    flush_held();
    Peer* hot = hot_.load(std::memory_order_acquire);
    const bool few = spin_us > 0 && (hot || ringed_end_.load(std::memory_order_relaxed) > 0) && turn % (hot ? kLookAround : kLookUp) != 0;
    epoll_event events[16];
    const int n = few ? 0 : epoll_wait(epoll_.get(), events, 16, 0);
    if (hot && few) worked |= service(*hot, kLook);
    worked |= look_at_rings();
    for (int i = 0; i < n; i++) {
      if (events[i].data.ptr == &hold_timer_) continue;
      if (events[i].data.ptr && events[i].data.ptr != &kick_fd_)
        worked |= service(*static_cast<Peer*>(events[i].data.ptr), events[i].events);
      else
        wake_parked();
    }
    if (worked || happenings_.load(std::memory_order_acquire) != happenings) break;
    if (spin_us <= 0) break;
    const int64_t now = now_ns();
    if (deadline == 0) deadline = now + int64_t{spin_us} * 1000;
    if (now >= deadline) break;
    cpu_relax();
  }
  const bool last = spinners_.fetch_sub(1) == 1;
  const bool happened = worked || happenings_.load(std::memory_order_relaxed) != happenings;
  if (last && !happened && spin_us > 0) wake_parked();
  return happened;
}

void Transport::wake_parked() {
  if (parked_.load() && parked_.exchange(0)) futex_wake(parked_);
}

// Sleeps while others poll; decides whether they still do.
void Transport::park() {
  const auto heartbeat = heartbeat_.load(std::memory_order_relaxed);
  parked_.store(1);
  if (!kicked_) futex_wait(parked_, 1, kHandOver);
  const bool woken = parked_.exchange(0) == 0;
  seen_heartbeat_ = heartbeat_.load(std::memory_order_relaxed);
  serving_ = woken || seen_heartbeat_ == heartbeat;
  flush_held();
}

// One round of the communication thread.
void Transport::wait_and_serve() {
  if (!serving_) return park();
  if (serve(static_cast<int>(next_timeout(now_ns())))) spin_on();
}

// Waits for data and handles it, or leaves it to those who poll. Returns whether frames were handed over.
bool Transport::serve(int timeout_ms) {
  epoll_event events[32];
  const bool sleep = timeout_ms != 0;
  if (sleep) dozing_ = true;
  const bool data = sleep && !rings_doze();
  const int n = epoll_wait(epoll_.get(), events, 32, data ? 0 : timeout_ms);
  if (sleep) {
    dozing_ = false;
    rings_awake();
  }
  flush_held();
  // A kick is noticed by kicked_, and may be dealt with before its event is written, which then is still to be read.
  for (int i = 0; i < n; i++)
    if (events[i].data.ptr == &kick_fd_) kicked_ = true;
  const bool others = others_poll();
  if ((n > 0 || data) && others) {
    serving_ = false;
    return false;
  }
  bool worked = !others && look_at_rings(), met = false;
  for (int i = 0; i < n; i++) {
    if (!events[i].data.ptr || events[i].data.ptr == &hold_timer_ || events[i].data.ptr == &kick_fd_) continue;
    met = true;
    worked |= service(*static_cast<Peer*>(events[i].data.ptr), events[i].events);
  }
  // Data that another thread is at: let it.
  if (met && !worked && spinners_.load() > 0) serving_ = false;
  return worked;
}

// Whether another thread has polled since the last call, and still does.
bool Transport::others_poll() {
  const auto heartbeat = heartbeat_.load(std::memory_order_relaxed);
  const bool others = spinners_.load() > 0 && heartbeat != seen_heartbeat_;
  seen_heartbeat_ = heartbeat;
  return others;
}

// As serve(0), of the peer that was last heard of.
bool Transport::serve_hot() {
  flush_held();
  Peer* hot = hot_.load(std::memory_order_acquire);
  if (spinners_.load() > 0) return serve(0);
  if (look_at_rings()) return true;
  if (!hot) return ringed_end_.load(std::memory_order_relaxed) == 0 && serve(0);
  return service(*hot, kLook);
}

// Data in shared memory, which epoll knows nothing of. Returns whether frames were handed over.
bool Transport::look_at_rings() {
  bool worked = false;
  const size_t end = ringed_end_.load(std::memory_order_acquire);
  for (size_t i = 0; i < end; i++)
    if (Peer* p = ringed_[i].load(std::memory_order_acquire)) worked |= service(*p, kLook);
  return worked;
}

// Communication thread: from here on peers ring when there is data for us. False: there is some already.
bool Transport::rings_doze() {
  bool empty = true;
  for (size_t i = 0; i < ringed_end_.load(std::memory_order_relaxed); i++)
    if (Peer* p = ringed_[i].load(std::memory_order_relaxed)) empty &= p->rings->doze();
  return empty;
}
void Transport::rings_awake() {
  for (size_t i = 0; i < ringed_end_.load(std::memory_order_relaxed); i++)
    if (Peer* p = ringed_[i].load(std::memory_order_relaxed)) p->rings->awake();
}

// Where there was traffic there is often more at once: looks out for it before sleeping, unless somebody else wants the
// core.
void Transport::spin_on() {
  const Patience& p = ringed_end_.load(std::memory_order_relaxed) > 0 ? kWithMemory : kWithSockets;
  const int64_t patience = std::min(int64_t{config_.spin_us} * 1000, p.look_out);
  int64_t last = now_ns(), deadline = last + patience;
  if (last < contended_until_) return;
  for (unsigned turn = 1; serving_ && !kicked_.load(std::memory_order_relaxed); turn++) {
    const unsigned every = hot_.load(std::memory_order_relaxed) ? kLookAround : kLookUp;
    const bool worked = turn % every != 0 ? serve_hot() : serve(0);
    const int64_t now = now_ns();
    if (now >= next_tick_) return;
    if (worked) {
      deadline = now + patience;
    } else if (now - last > p.lost_core) {
      // Nothing was done in that time: others had the core, and what is spun away here is taken from them. Shorter absences
      // are those of threads that look after something, like this one.
      calm_ = last - contended_until_ < calm_ ? std::min(2 * calm_, kLongestCalm) : kCalm;
      contended_until_ = now + calm_;
      return;
    }
    if (now >= deadline) return;
    last = now;
    cpu_relax();
  }
}

}  // namespace dmi::memory::transport
