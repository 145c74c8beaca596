// The few socket calls the transport makes. All descriptors are close-on-exec.
#pragma once
#include <netinet/in.h>

#include <cstdint>
#include <string>
#include <utility>

namespace dmi::memory::transport {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Fd() { reset(); }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset();

 private:
  int fd_ = -1;
};

// A non-blocking listener. Throws std::system_error naming the address.
Fd listen_on(const std::string& host, uint16_t port);
uint16_t local_port(int fd);
// A numeric IPv4 or IPv6 address, or "localhost". Other names are resolved by whoever makes the view: a static host has
// no name services. False: not an address.
bool parse_address(const std::string& host, uint16_t port, sockaddr_storage& to, socklen_t& size);
// Starts a non-blocking connect. An invalid Fd and errno on failure.
Fd start_connect(const sockaddr_storage& to, socklen_t size);
// Options of a data connection: no Nagle delay, and the kernel finds dead machines within `timeout_s`.
void tune(int fd, double timeout_s);
// Wakes the peer of a connection whose data goes elsewhere: one byte, unless some wait there already.
void ring_bell(int fd);
// Takes such bytes away. False: the connection has ended.
bool hear_bell(int fd);
// Whether both ends of the connection have the same address.
bool same_machine(int fd);
void set_blocking(int fd, bool blocking);
// The connection's pending error, as an errno value.
int socket_error(int fd);

}  // namespace dmi::memory::transport
