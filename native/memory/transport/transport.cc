#include "transport.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "clock.h"
#include "peer.h"

namespace dmi::memory::transport {
namespace {

// Frames received from a peer that has heard nothing from us meanwhile, before it is told so.
constexpr uint64_t kAckEvery = 32;

Identity with_features(Identity identity, bool share) {
  identity.features = share ? kSharedMemory : 0;
  return identity;
}

}  // namespace

Transport::Transport(TransportConfig config, FrameHandler& handler, TransportEvents events)
    : config_(std::move(config)),
      handler_(handler),
      events_(std::move(events)),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      kick_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      hold_timer_(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)),
      connector_(with_features(config_.identity, config_.share), listen_on(config_.bind_host, config_.bind_port),
                 {[this](Handshake& h) { on_incoming(h); },
                  [this](Fd fd, const Handshake::Peer& who, bool initiated) {
                    on_connected(std::move(fd), who, initiated);
                  },
                  [this](MemberId m, RefuseCode code, std::string why) { on_failed(m, code, std::move(why)); },
                  [this](int level, std::string line) { log(level, line); }}) {
  // Both mean "work for the communication thread".
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = &kick_fd_;
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, kick_fd_.get(), &event);
  event.data.ptr = nullptr;
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connector_.epoll(), &event);
  // Whoever waits in epoll flushes what is held first thing when it comes back; so the timer need not be read, only noticed.
  event.events = EPOLLIN | EPOLLET;
  event.data.ptr = &hold_timer_;
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, hold_timer_.get(), &event);
}

void Transport::start() {
  // The host's timer signals are not for this thread; a fault of its own must be heard of.
  sigset_t all, before;
  sigfillset(&all);
  for (int s : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}) sigdelset(&all, s);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Transport::~Transport() {
  // What was said before the end should arrive: half a second for it.
  const int64_t deadline = now_ns() + kSecond / 2;
  for (auto* p : peers())
    while (thread_.joinable() && !p->gone && p->sender.unsent() && now_ns() < deadline)
      usleep(1000);
  stop_ = true;
  kick();
  if (thread_.joinable()) thread_.join();
}

Transport::Peer* Transport::peer(MemberId member) {
  const bool quick = member >= 0 && member < kQuick;
  if (quick)
    if (auto* p = quick_[member].load(std::memory_order_acquire)) return p;
  std::lock_guard lock(mutex_);
  auto& p = peers_[member];
  if (!p) p = std::make_unique<Peer>(member);
  if (quick) quick_[member].store(p.get(), std::memory_order_release);
  return p.get();
}

std::vector<Transport::Peer*> Transport::peers() const {
  std::lock_guard lock(mutex_);
  std::vector<Peer*> all;
  for (const auto& [id, p] : peers_) all.push_back(p.get());
  return all;
}

void Transport::know(MemberId member, const std::string& host, uint16_t port) {
  auto* p = peer(member);
  {
    std::lock_guard lock(mutex_);
    if (p->host == host && p->port == port) return;
    p->host = host;
    p->port = port;
  }
  if (p->wanted) kick();
}

void Transport::forget(MemberId member) {
  auto* p = peer(member);
  if (p->gone.exchange(true)) return;
  {
    Peer::Receiving receiving(*p);
    if (receiving.nested()) p->receiver.stop();
    if (p->fd) {
      epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, p->fd.get(), nullptr);
      shutdown(p->fd.get(), SHUT_RDWR);
    }
  }
  p->sender.clear();
  kick();
}

Transport::Peer* Transport::push(MemberId to, LinkKind kind, Frame&& frame) {
  auto* p = peer(to);
  if (!p->gone) p->sender.push(kind, std::move(frame));
  return p;
}

void Transport::flush(Peer* p) {
  p->held.store(0, std::memory_order_relaxed);
  if (p->sender.flush() == Sender::Result::Down && !p->gone && !p->wanted.exchange(true)) kick();
  note_activity();
}

void Transport::flush_soon(Peer* p) {
  if (p->held.fetch_add(1, std::memory_order_relaxed) + 1 >= kHold) return flush(p);
  {
    std::lock_guard lock(held_mutex_);
    if (std::find(held_.begin(), held_.end(), p) == held_.end()) held_.push_back(p);
  }
  hold();
}

void Transport::hold() {
  // The communication thread, when parked, looks every kHandOver. park() clears parked_ before it looks at holding_.
  if (holding_.exchange(true) || parked_.load()) return;
  const itimerspec at{{0, 0}, {0, kHoldFor}};
  timerfd_settime(hold_timer_.get(), 0, &at, nullptr);
}

void Transport::flush_held() {
  if (!holding_.load(std::memory_order_relaxed) || !holding_.exchange(false)) return;
  handler_.release();
  for (;;) {
    Peer* p = nullptr;
    {
      std::lock_guard lock(held_mutex_);
      if (held_.empty()) return;
      p = held_.back();
      held_.pop_back();
    }
    flush(p);
  }
}

// Handles what epoll said of a peer. Returns whether frames were handed over.
bool Transport::service(Peer& p, uint32_t events) {
  if (events & EPOLLOUT) {
    p.sender.unblock();
    flush(&p);
  }
  if (!(events & ~static_cast<uint32_t>(EPOLLOUT))) return false;
  if (!p.rx.try_lock()) return false;  // another thread is at it
  if (p.rings && (events & kLook) && !p.rings->readable() && !p.sender.awaits_room()) {
    p.rx.unlock();
    return false;
  }
  p.rx_owner = pthread_self();
  bool took = false, acknowledge_now = false, lost = false, quiet = true, room = false;
  uint64_t acknowledged = 0;
  const uint64_t before = p.receiver.bytes();
  if (p.fd && !p.down && !p.gone) {
    auto* rings = p.rings.get();
    // With rings the socket only says that the peer has gone, after what it had written, or that it wants us to look.
    const bool rang = rings && !(events & kLook), ended = rang && !hear_bell(p.fd.get());
    if (rang && dozing_) rings->doze();  // that bell was for the communication thread, which may not have heard it
    auto result = p.receiver.pump(p.fd.get(), handler_, rings);
    if (ended && result == Receiver::Result::Drained) result = Receiver::Result::Closed;
    if (rings && p.receiver.bytes() != before && rings->bell_for_room()) ring_bell(p.fd.get());
    room = rings && p.sender.awaits_room() && rings->room();
    took = p.receiver.took_frames();
    acknowledge_now = p.receiver.acknowledge_now();
    acknowledged = p.receiver.peer_acknowledged();
    std::string why = p.receiver.error();
    lost = result == Receiver::Result::Closed || result == Receiver::Result::Broken;
    quiet = !lost && p.receiver.bytes() == before;
    if (!quiet && !p.gone && !p.sender.acknowledge(acknowledged)) {
      lost = true;
      why = "acknowledges frames that were not sent";
    }
    if (lost) {
      p.why = why;
      if (result == Receiver::Result::Broken || !why.empty())
        log(40, "connection with member " + std::to_string(p.id) + " ended: " + why);
      epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, p.fd.get(), nullptr);
      p.down = true;
    }
  }
  const bool ringed = p.rings != nullptr;
  p.rx_owner = pthread_t{};
  p.rx.unlock();
  if (room) {
    p.sender.unblock();
    flush(&p);
  }
  if (quiet) return room;
  if (!ringed) hot_.store(&p, std::memory_order_release);
  if (lost) {
    kick();
  } else if (acknowledge_now || p.receiver.received() - p.sender.ack_told() >= kAckEvery) {
    p.sender.request_ack();
    flush(&p);
  }
  flush_held();
  note_activity();
  return took;
}

void Transport::hang_up(MemberId member, std::string why) {
  auto* p = peer(member);
  log(40, "closing the connection with member " + std::to_string(member) + ": " + why);
  Peer::Receiving receiving(*p);
  p->why = std::move(why);
  if (p->fd) shutdown(p->fd.get(), SHUT_RDWR);  // the receiving side notices
}

void Transport::when_quiet(std::function<void()> quiet) {
  {
    std::lock_guard lock(work_mutex_);
    quiet_ = std::move(quiet);
  }
  want_quiet_ = true;
  kick();
}

void Transport::defer(std::function<void()> work) {
  {
    std::lock_guard lock(work_mutex_);
    deferred_.push_back(std::move(work));
  }
  kick();
}

Transport::Counters Transport::counters() const {
  Counters sum{};
  for (auto* p : peers()) {
    sum.messages_sent += p->sender.frames();
    sum.bytes_sent += p->sender.bytes();
    sum.messages_received += p->receiver.frames();
    sum.bytes_received += p->receiver.bytes();
  }
  return sum;
}

// Makes the communication thread look at kicked_.
void Transport::kick() {
  kicked_ = true;
  if (comm_ == pthread_self()) return;
  if (parked_.exchange(0)) futex_wake(parked_);
  eventfd_write(kick_fd_.get(), 1);
}

// There was traffic: time-outs have to be watched for a while.
void Transport::note_activity() {
  if (!active_.load(std::memory_order_relaxed)) active_.store(true, std::memory_order_relaxed);
  if (untimed_.load(std::memory_order_relaxed) && untimed_.exchange(false)) kick();
}

void Transport::log(int level, const std::string& line) const {
  if (events_.log) events_.log(level, line);
}

}  // namespace dmi::memory::transport
