#include "connector.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "clock.h"

namespace dmi::memory::transport {
namespace {

constexpr char kHungUp[] = "connection closed during the handshake";

std::string describe(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = "?";
  uint16_t port = 0;
  if (address.ss_family == AF_INET) {
    const auto& in = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &in.sin_addr, text, sizeof text);
    port = in.sin_port;
  } else if (address.ss_family == AF_INET6) {
    const auto& in = reinterpret_cast<const sockaddr_in6&>(address);
    inet_ntop(AF_INET6, &in.sin6_addr, text, sizeof text);
    port = in.sin6_port;
  }
  return std::string(text) + ":" + std::to_string(ntohs(port));
}

}  // namespace

Connector::Connector(Identity identity, Fd listener, Owner owner)
    : identity_(std::move(identity)),
      owner_(std::move(owner)),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      listener_(std::move(listener)),
      port_(local_port(listener_.get())) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = 0;
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, listener_.get(), &event);
}

void Connector::connect(MemberId to, const std::string& host, uint16_t port, uint64_t received, bool share) {
  abandon(to);
  Identity self = identity_;
  if (!share) self.features &= ~kSharedMemory;
  const auto address = host + ":" + std::to_string(port);
  sockaddr_storage at{};
  socklen_t size = 0;
  if (!parse_address(host, port, at, size))
    return owner_.failed(to, {}, address + " is not a numeric address and port");
  Fd fd = start_connect(at, size);
  if (!fd) return owner_.failed(to, {}, "connect to " + address + ": " + strerror(errno));
  Attempt attempt{std::move(fd), Handshake::initiate(self, to, "member", {}, received),
                  now_ns() + kHandshakeTime, to, address, false, {}};
  attempt.output = attempt.handshake.take_output();
  add(std::move(attempt));
}

void Connector::abandon(MemberId member) {
  std::erase_if(attempts_, [&](const auto& entry) {
    const Attempt& attempt = entry.second;
    const bool answered = attempt.to == kNoMember && attempt.handshake.told() && attempt.handshake.peer().member == member;
    if (answered) unproven_--;
    return answered || attempt.to == member;
  });
}

bool Connector::connecting(MemberId to) const {
  return std::any_of(attempts_.begin(), attempts_.end(), [&](const auto& entry) { return entry.second.to == to; });
}

void Connector::run(int64_t now) {
  epoll_event events[32];
  int n;
  do n = epoll_wait(epoll_.get(), events, 32, 0);
  while (n < 0 && errno == EINTR);
  for (int i = 0; i < n; i++) {
    if (events[i].data.u64 == 0)
      accept_all(now);
    else if (auto at = attempts_.find(events[i].data.u64); at != attempts_.end())
      progress(at);
  }
  std::vector<uint64_t> late;
  for (const auto& [id, attempt] : attempts_)
    if (now >= attempt.deadline) late.push_back(id);
  for (const auto id : late)
    if (auto at = attempts_.find(id); at != attempts_.end()) finish(at, "no complete handshake within 5 s");
  if (listener_pause_ && now >= listener_pause_) {
    listener_pause_ = 0;
    epoll_event event{};
    event.events = EPOLLIN;
    epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, listener_.get(), &event);
  }
}

int64_t Connector::deadline() const {
  int64_t first = listener_pause_;
  for (const auto& [id, attempt] : attempts_)
    if (first == 0 || attempt.deadline < first) first = attempt.deadline;
  return first;
}

void Connector::accept_all(int64_t now) {
  for (;;) {
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    Fd fd(accept4(listener_.get(), reinterpret_cast<sockaddr*>(&from), &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
        owner_.log(50, std::string("cannot accept connections: ") + strerror(errno));
        listener_pause_ = now + 200 * kMillisecond;
        epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listener_.get(), nullptr);
      }
      if (errno == ECONNABORTED || errno == EINTR) continue;
      return;
    }
    if (unproven_ >= kMaxUnproven) {
      auto oldest = std::find_if(attempts_.begin(), attempts_.end(), [](auto& e) { return e.second.to == kNoMember; });
      if (oldest != attempts_.end()) finish(oldest, "too many connections that have not proved themselves");
    }
    unproven_++;
    auto handshake = Handshake::respond(identity_);
    handshake.set_near(same_machine(fd.get()));
    add({std::move(fd), std::move(handshake), now + kHandshakeTime, kNoMember, describe(from), true, {}});
  }
}

void Connector::add(Attempt attempt) {
  const auto id = next_id_++;
  auto& stored = attempts_.emplace(id, std::move(attempt)).first->second;
  epoll_event event{};
  stored.events = event.events = EPOLLIN | (stored.connected ? 0u : static_cast<uint32_t>(EPOLLOUT));
  event.data.u64 = id;
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, stored.fd.get(), &event);
}

void Connector::watch(uint64_t id, Attempt& attempt) {
  const uint32_t wanted = EPOLLIN | (attempt.output.empty() ? 0u : static_cast<uint32_t>(EPOLLOUT));
  if (wanted == attempt.events) return;
  epoll_event event{};
  attempt.events = event.events = wanted;
  event.data.u64 = id;
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, attempt.fd.get(), &event);
}

void Connector::progress(Attempts::iterator at) {
  Attempt& attempt = at->second;
  if (!attempt.connected) {
    if (const int error = socket_error(attempt.fd.get())) return finish(at, strerror(error));
    attempt.connected = true;
  }
  if (!read(attempt)) return finish(at, kHungUp);
  if (attempt.handshake.state() == Handshake::State::Deciding) {
    if (attempt.to != kNoMember) attempt.handshake.confirm(SharedRings::open(attempt.handshake.offer()));
    else owner_.incoming(attempt.handshake);
  }
  auto more = attempt.handshake.take_output();
  attempt.output.insert(attempt.output.end(), more.begin(), more.end());
  if (!write(attempt)) return finish(at, kHungUp);
  if (attempt.handshake.state() == Handshake::State::Failed) return finish(at, attempt.handshake.error());
  if (attempt.handshake.state() == Handshake::State::Done && attempt.output.empty()) return finish(at, "");
  watch(at->first, attempt);
}

// False: the connection has ended.
bool Connector::read(Attempt& attempt) {
  std::byte bytes[4096];
  while (attempt.handshake.state() == Handshake::State::Talking) {
    const ssize_t n =
        recv(attempt.fd.get(), bytes, std::min(sizeof bytes, attempt.handshake.wanted()), MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
    if (n == 0) return false;
    attempt.handshake.feed({bytes, static_cast<size_t>(n)});
  }
  return true;
}

bool Connector::write(Attempt& attempt) {
  while (!attempt.output.empty()) {
    const ssize_t n = send(attempt.fd.get(), attempt.output.data(), attempt.output.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
    attempt.output.erase(attempt.output.begin(), attempt.output.begin() + n);
  }
  return true;
}

// Takes the attempt off the list and tells how it ended.
void Connector::finish(Attempts::iterator at, std::string error) {
  Attempt attempt = std::move(at->second);
  attempts_.erase(at);
  const bool initiated = attempt.to != kNoMember;
  if (!initiated) unproven_--;
  if (error.empty()) {
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, attempt.fd.get(), nullptr);
    return owner_.connected(std::move(attempt.fd), attempt.handshake.peer(), initiated);
  }
  if (initiated) return owner_.failed(attempt.to, attempt.handshake.refused(), attempt.address + ": " + error);
  // What the peer sent on is read away: closing over it would reset the connection and our answer with it.
  shutdown(attempt.fd.get(), SHUT_WR);
  std::byte rest[4096];
  for (int i = 0; i < 32 && recv(attempt.fd.get(), rest, sizeof rest, MSG_DONTWAIT) > 0; i++) {}
  // Whoever hangs up on its own has its reason, mostly that our connection to it was faster.
  const bool ordinary = error == kHungUp || attempt.handshake.refused() == RefuseCode::Crossing;
  owner_.log(ordinary ? 20 : 40, "connection from " + attempt.address + " came to nothing: " + error);
}

}  // namespace dmi::memory::transport
