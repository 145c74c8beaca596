#include "socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace dmi::memory::transport {
namespace {

void set(int fd, int level, int name, int value) { setsockopt(fd, level, name, &value, sizeof value); }

bool loopback(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET)
    return ntohl(reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr) >> 24 == 127;
  if (address.ss_family == AF_INET6)
    return IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6&>(address).sin6_addr);
  return false;
}

}  // namespace

void Fd::reset() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

bool parse_address(const std::string& host, uint16_t port, sockaddr_storage& to, socklen_t& size) {
  to = {};
  auto& v4 = reinterpret_cast<sockaddr_in&>(to);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(to);
  if (inet_pton(AF_INET, host == "localhost" ? "127.0.0.1" : host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    size = sizeof v4;
    return true;
  }
  if (inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    size = sizeof v6;
    return true;
  }
  return false;
}

Fd listen_on(const std::string& host, uint16_t port) {
  const auto fail = [&](int error) {
    throw std::system_error(error, std::generic_category(), "listen on " + host + ":" + std::to_string(port));
  };
  sockaddr_storage at{};
  socklen_t size = 0;
  if (!parse_address(host, port, at, size)) fail(EADDRNOTAVAIL);
  Fd fd(socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) fail(errno);
  set(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&at), size) != 0 || listen(fd.get(), 512) != 0) fail(errno);
  return fd;
}

uint16_t local_port(int fd) {
  sockaddr_storage at{};
  socklen_t size = sizeof at;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) != 0) return 0;
  return ntohs(at.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(at).sin6_port
                                        : reinterpret_cast<sockaddr_in&>(at).sin_port);
}

Fd start_connect(const sockaddr_storage& to, socklen_t size) {
  Fd fd(socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return {};
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), size) == 0 || errno == EINPROGRESS || errno == EINTR)
    return fd;
  const int error = errno;
  fd.reset();
  errno = error;
  return {};
}

void tune(int fd, double timeout_s) {
  set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set(fd, IPPROTO_TCP, TCP_KEEPIDLE, std::max(1, static_cast<int>(timeout_s / 2)));
  set(fd, IPPROTO_TCP, TCP_KEEPINTVL, std::max(1, static_cast<int>(timeout_s / 8)));
  set(fd, IPPROTO_TCP, TCP_KEEPCNT, 4);
  // After an outage go on soon: the kernel would wait as long again as it lasted. Linux 6.15 and newer.
#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44
#endif
  set(fd, IPPROTO_TCP, TCP_RTO_MAX_MS, 1000);
  set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, std::max(1000, static_cast<int>(timeout_s * 1000)));
  // On loopback there is no path to model: a pacing congestion control (bbr) halves the stream (6.6 to 11 GB/s
  // measured for 1 MiB sends). Fails harmlessly where cubic is not there.
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) == 0 && loopback(peer))
    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
}

void ring_bell(int fd) {
  const char byte = 0;
  while (send(fd, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EINTR) {}
}

bool hear_bell(int fd) {
  for (;;) {
    char bytes[256];
    const ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n == 0) return false;
    if (n < 0 && errno != EINTR) return errno == EAGAIN || errno == EWOULDBLOCK;
    if (n > 0 && n < static_cast<ssize_t>(sizeof bytes)) return true;
  }
}

bool same_machine(int fd) {
  sockaddr_storage here{}, there{};
  socklen_t size = sizeof here;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&here), &size) != 0) return false;
  size = sizeof there;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&there), &size) != 0 || here.ss_family != there.ss_family) return false;
  if (here.ss_family == AF_INET)
    return reinterpret_cast<sockaddr_in&>(here).sin_addr.s_addr == reinterpret_cast<sockaddr_in&>(there).sin_addr.s_addr;
  if (here.ss_family == AF_INET6)
    return IN6_ARE_ADDR_EQUAL(&reinterpret_cast<sockaddr_in6&>(here).sin6_addr, &reinterpret_cast<sockaddr_in6&>(there).sin6_addr);
  return false;
}

void set_blocking(int fd, bool blocking) {
  const int flags = fcntl(fd, F_GETFL);
  fcntl(fd, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}

int socket_error(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  return error;
}

}  // namespace dmi::memory::transport
