// A connection of its own for another service (a thread move), made on the calling thread.
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "clock.h"
#include "peer.h"

namespace dmi::memory::transport {
namespace {

// 0, or an errno value.
int wait_for(int fd, short events, int64_t deadline) {
  for (;;) {
    const int64_t left = (deadline - now_ns()) / kMillisecond;
    if (left <= 0) return ETIMEDOUT;
    pollfd p{fd, events, 0};
    const int n = ::poll(&p, 1, static_cast<int>(std::min<int64_t>(left, 1 << 30)));
    if (n > 0) return 0;
    if (n < 0 && errno != EINTR) return errno;
  }
}

int shake_hands(int fd, Handshake& handshake, int64_t deadline) {
  for (;;) {
    const auto output = handshake.take_output();
    for (size_t sent = 0; sent < output.size();) {
      const ssize_t n = send(fd, output.data() + sent, output.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n >= 0)
        sent += static_cast<size_t>(n);
      else if (errno == EAGAIN) {
        if (const int error = wait_for(fd, POLLOUT, deadline)) return error;
      } else if (errno != EINTR) {
        return errno;
      }
    }
    if (handshake.state() == Handshake::State::Done) return 0;
    if (handshake.state() == Handshake::State::Failed)
      return handshake.refused() != RefuseCode{} ? ECONNREFUSED : EPROTO;
    if (const int error = wait_for(fd, POLLIN, deadline)) return error;
    std::byte bytes[4096];
    const ssize_t n = recv(fd, bytes, std::min(sizeof bytes, handshake.wanted()), MSG_DONTWAIT);
    if (n == 0) return ECONNRESET;
    if (n < 0 && errno != EAGAIN && errno != EINTR) return errno;
    if (n > 0) handshake.feed({bytes, static_cast<size_t>(n)});
  }
}

}  // namespace

int Transport::open_stream(MemberId to, std::string_view service, std::span<const std::byte> extra, double timeout) {
  const int64_t deadline = now_ns() + static_cast<int64_t>(timeout * 1e9);
  auto* p = peer(to);
  std::string host;
  uint16_t port;
  {
    std::lock_guard lock(mutex_);
    host = p->host;
    port = p->port;
  }
  sockaddr_storage at{};
  socklen_t size = 0;
  if (p->gone || port == 0 || !parse_address(host, port, at, size)) return -EHOSTUNREACH;
  if (extra.size() > kMaxExtra) return -EMSGSIZE;
  Fd fd = start_connect(at, size);
  if (!fd) return -errno;
  if (const int error = wait_for(fd.get(), POLLOUT, deadline)) return -error;
  if (const int error = socket_error(fd.get())) return -error;
  auto handshake = Handshake::initiate(config_.identity, to, service, extra, 0);
  if (const int error = shake_hands(fd.get(), handshake, deadline)) {
    const auto& said = handshake.error();
    log(40, "stream \"" + std::string(service) + "\" to member " + std::to_string(to) + " at " + host + ":" +
                std::to_string(port) + ": " + (said.empty() ? strerror(error) : said));
    return -error;
  }
  tune(fd.get(), config_.peer_timeout);
  set_blocking(fd.get(), true);
  return fd.release();
}

}  // namespace dmi::memory::transport
