// The communication thread: connections, reconnects and time-outs. What it does here is rare; frames go through spin.cc.
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "clock.h"
#include "peer.h"

namespace dmi::memory::transport {
namespace {

constexpr int64_t kTick = 50 * kMillisecond;       // while there is, or lately was, traffic
constexpr int64_t kCalm = kSecond;                 // without traffic for so long: no timer at all
constexpr int64_t kQuietTick = 2 * kMillisecond;   // while when_quiet() waits
constexpr int64_t kStall = kSecond;                // a tick so late means that nothing of this process ran
constexpr int64_t kFirstBackoff = 5 * kMillisecond;
constexpr int64_t kLastBackoff = kSecond;

// Be scheduled soon after waking although other threads compute: a short slice (100 us) and an exact timer.
void be_quick() {
  prctl(PR_SET_NAME, "dmi-memory");
  prctl(PR_SET_TIMERSLACK, 1000UL);
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
  } attributes{};
  attributes.size = sizeof attributes;
  attributes.runtime = 100'000;
  syscall(SYS_sched_setattr, 0, &attributes, 0);  // kernels before 6.12 ignore the slice
}

}  // namespace

void Transport::run() {
  comm_ = pthread_self();
  be_quick();
  while (!stop_) {
    const int64_t now = now_ns();
    connector_.run(now);
    if (kicked_.exchange(false)) {
      eventfd_t count;
      eventfd_read(kick_fd_.get(), &count);
      administer(now);
    }
    if (now >= next_tick_) tick(now);
    if (stop_) break;
    wait_and_serve();
  }
}

void Transport::administer(int64_t now) {
  std::vector<std::function<void()>> work;
  {
    std::lock_guard lock(work_mutex_);
    work.swap(deferred_);
  }
  for (const auto& f : work) f();
  for (auto* p : peers()) administer(*p, now);
}

void Transport::administer(Peer& p, int64_t now) {
  if (p.gone) {
    if (p.fd) drop_link(p);
    connector_.abandon(p.id);
    p.link = LinkState::Idle;
    p.down_since = 0;
    return;
  }
  if (p.down) {
    drop_link(p);
    p.link = LinkState::Backoff;
    p.down_since = now;
    // The member with the lower id tries first, so that two attempts seldom cross.
    p.retry_at = now + (config_.identity.self < p.id ? 0 : 20 * kMillisecond);
  }
  const bool due = (p.link == LinkState::Idle && p.wanted) || (p.link == LinkState::Backoff && now >= p.retry_at);
  if (due) connect(p);
  const auto timeout = static_cast<int64_t>(config_.peer_timeout * 1e9);
  const int64_t waiting = p.link == LinkState::Up ? p.sender.waiting_since() : p.down_since;
  if (waiting && now - std::max({waiting, p.reported, stalled_until_}) > timeout) {
    p.reported = now;
    const auto why = p.link == LinkState::Up     ? std::string("connected, but does not answer")
                     : !p.last_failure.empty()   ? p.last_failure
                                                 : std::string("no connection");
    log(40, "member " + std::to_string(p.id) + " is unreachable: " + why);
    if (events_.unreachable) events_.unreachable(p.id, why);
  }
  if (!waiting) p.reported = 0;
}

void Transport::connect(Peer& p) {
  std::string host;
  uint16_t port;
  {
    std::lock_guard lock(mutex_);
    host = p.host;
    port = p.port;
  }
  if (p.down_since == 0) p.down_since = now_ns();
  if (port == 0) {  // not in the view yet: know() will come
    p.link = LinkState::Idle;
    return;
  }
  p.link = LinkState::Connecting;
  connector_.connect(p.id, host, port, p.receiver.received(), config_.share && ring_slot(nullptr));
}

// Ends the connection, if there is one: afterwards nobody reads from it or writes to it.
void Transport::drop_link(Peer& p) {
  Peer::Receiving receiving(p);
  p.sender.detach();
  if (p.fd) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, p.fd.get(), nullptr);
  p.fd.reset();
  if (auto* slot = p.rings ? ring_slot(&p) : nullptr) slot->store(nullptr, std::memory_order_release);
  p.rings.reset();
  p.receiver.reset();
  p.down = false;
}

// The slot of a peer that has rings, or with null a free one; null when there is none.
std::atomic<Transport::Peer*>* Transport::ring_slot(Peer* holds) {
  for (auto& slot : ringed_)
    if (slot.load(std::memory_order_relaxed) == holds) return &slot;
  return nullptr;
}

void Transport::on_incoming(Handshake& handshake) {
  const auto& who = handshake.peer();
  if (who.service != "member") {
    if (!events_.stream) return handshake.refuse(RefuseCode::Service, "service " + who.service + " is not offered here");
    if (who.build != config_.identity.build)
      return handshake.refuse(RefuseCode::Build, "build " + who.build + " differs from this host's " +
                                                     config_.identity.build + ": start the job's hosts from one build");
    return handshake.accept(0);
  }
  auto& p = *peer(who.member);
  if (p.gone)
    return handshake.refuse(RefuseCode::Gone, "member " + std::to_string(p.id) + " has left the job, as the view says");
  if (connector_.connecting(p.id)) {
    if (config_.identity.self < p.id) return handshake.refuse(RefuseCode::Crossing, "our connection goes first");
    connector_.abandon(p.id);
  }
  drop_link(p);
  p.link = LinkState::Backoff;  // in case the acceptance does not get through
  p.retry_at = now_ns() + 200 * kMillisecond;
  if (p.down_since == 0) p.down_since = now_ns();
  const bool share = config_.share && who.near && (who.features & kSharedMemory) && ring_slot(nullptr);
  handshake.accept(p.receiver.received(), share ? SharedRings::create() : nullptr);
}

void Transport::on_connected(Fd fd, const Handshake::Peer& who, bool initiated) {
  tune(fd.get(), config_.peer_timeout);
  if (!initiated && who.service != "member") {
    set_blocking(fd.get(), true);
    events_.stream(fd.release(), who.service, who.member, who.extra);
    return;
  }
  auto& p = *peer(who.member);
  if (p.gone) return;
  connector_.abandon(p.id);  // others on their way have told what was received before this one
  {
    Peer::Receiving receiving(p);
    p.fd = std::move(fd);
    const auto old = std::exchange(p.rings, who.rings);  // kept until nobody writes to it any more
    if (auto* slot = old ? ring_slot(&p) : nullptr) slot->store(nullptr, std::memory_order_release);
    p.down = false;
    p.why.clear();
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = &p;
    epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, p.fd.get(), &event);
    if (!p.sender.attach(p.fd.get(), epoll_.get(), &p, who.received, p.rings.get())) {
      log(50, "member " + std::to_string(p.id) + " claims to have received other frames than were sent");
      p.down = true;
      kicked_ = true;
      return;
    }
    if (p.rings) {
      auto* slot = ring_slot(nullptr);
      if (!slot) {  // others were faster; the next attempt will not ask for rings
        p.down = true;
        kicked_ = true;
        return;
      }
      slot->store(&p, std::memory_order_release);
      const auto end = static_cast<size_t>(slot - ringed_.data()) + 1;
      if (end > ringed_end_.load(std::memory_order_relaxed)) ringed_end_.store(end, std::memory_order_release);
    }
  }
  p.link = LinkState::Up;
  p.backoff = 0;
  p.down_since = 0;
  p.last_failure.clear();
  p.wanted = false;
  flush(&p);
}

void Transport::on_failed(MemberId member, RefuseCode code, std::string why) {
  auto& p = *peer(member);
  if (p.gone) return;
  if (code == RefuseCode::Crossing) {
    retry_later(p, now_ns(), 200 * kMillisecond);
    return;
  }
  if (why != p.last_failure) log(40, "connecting to member " + std::to_string(member) + " failed: " + why);
  p.last_failure = std::move(why);
  retry_later(p, now_ns(), 0);
}

void Transport::retry_later(Peer& p, int64_t now, int64_t at_least) {
  p.backoff = std::clamp(p.backoff * 2, kFirstBackoff, kLastBackoff);
  p.link = LinkState::Backoff;
  p.retry_at = now + std::max(p.backoff, at_least);
}

// Every kTick while there is traffic: acknowledges what no answer has acknowledged, and looks at time-outs.
void Transport::tick(int64_t now) {
  if (active_.exchange(false)) last_active_ = now;
  // This process did not run (it was stopped, or its machine): what others answered meanwhile has not been read yet.
  if (now - next_tick_ > kStall) stalled_until_ = now;
  bool quiet = true;
  for (auto* p : peers()) {
    if (p->gone) continue;
    administer(*p, now);
    if (p->link == LinkState::Up && p->receiver.received() > p->sender.ack_told()) p->sender.request_ack();
    const bool empty = p->sender.empty();
    if (!empty) {
      last_active_ = now;
      quiet = false;
      if (want_quiet_) p->sender.request_ping();
    }
    p->sender.flush();
  }
  if (want_quiet_ && quiet) {
    std::function<void()> tell;
    {
      std::lock_guard lock(work_mutex_);
      tell.swap(quiet_);
      want_quiet_ = false;
    }
    if (tell) tell();
  }
  next_tick_ = now + (want_quiet_ ? kQuietTick : kTick);
}

// Milliseconds to sleep; -1: until something happens.
int64_t Transport::next_timeout(int64_t now) {
  if (kicked_ || stop_) return 0;
  int64_t first = connector_.deadline();
  const auto take = [&](int64_t at) {
    if (at && (first == 0 || at < first)) first = at;
  };
  bool down = false;
  for (auto* p : peers()) {
    if (p->gone) continue;
    if (p->link == LinkState::Backoff) take(p->retry_at);
    down |= p->down_since != 0;
  }
  untimed_ = true;  // before the look at active_: whoever is active from here on kicks
  if (want_quiet_ || down || active_.load() || now - last_active_ < kCalm) {
    untimed_ = false;
    take(next_tick_);
  }
  if (first == 0) return -1;
  return std::max<int64_t>(0, (first - now + kMillisecond - 1) / kMillisecond);
}

}  // namespace dmi::memory::transport
