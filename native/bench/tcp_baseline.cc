// What the kernel's TCP gives two processes on loopback, with nothing of ours in between.
//
//   tcp_baseline [CONGESTION-CONTROL]
//   tcp_baseline receive          prints a port, and takes what one connection to it brings
//   tcp_baseline send HOST PORT   to there; only tcp-stream-1MiB, between two machines
//
// tcp-round-trip-spinning  8 B there and back, both sides polling a non-blocking socket
// tcp-round-trip-blocking  the same, both sides in recv()
// tcp-64KiB-and-ack        64 KiB one way, 8 B back, blocking: the least a small move can cost
// tcp-stream-1MiB          one way, send() and recv() of 1 MiB at a time
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "measure.h"

namespace {
using namespace dmi::bench;

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

// The options that dmi's transport sets, and no others.
void set_options(int fd, const char* congestion) {
  int one = 1;
  if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0) die("TCP_NODELAY");
  if (congestion != nullptr &&
      setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, static_cast<socklen_t>(std::strlen(congestion))) != 0)
    die("TCP_CONGESTION");
}

void send_all(int fd, const char* data, size_t size, int flags) {
  while (size > 0) {
    ssize_t n = send(fd, data, size, flags | MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n <= 0) die("send");
    data += n;
    size -= static_cast<size_t>(n);
  }
}

// False when the peer has closed.
bool recv_all(int fd, char* data, size_t size, int flags) {
  while (size > 0) {
    ssize_t n = recv(fd, data, size, flags);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n < 0) die("recv");
    if (n == 0) return false;
    data += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

// A child process at the other end of a fresh connection: answers 8 B to every `request` bytes it gets (0: never).
struct Peer {
  int fd;
  pid_t pid;
  Peer(size_t request, size_t buffer, int flags, const char* congestion) {
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    set_options(listener, congestion);
    if (bind(listener, reinterpret_cast<sockaddr*>(&address), length) != 0 || listen(listener, 1) != 0) die("listen");
    getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
    pid = fork();
    if (pid < 0) die("fork");
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      int s = socket(AF_INET, SOCK_STREAM, 0);
      set_options(s, congestion);
      if (connect(s, reinterpret_cast<sockaddr*>(&address), length) != 0) die("connect");
      std::vector<char> data(buffer);
      while (recv_all(s, data.data(), buffer, flags))
        if (request != 0) send_all(s, data.data(), 8, flags);
      _exit(0);
    }
    fd = accept(listener, nullptr, nullptr);
    if (fd < 0) die("accept");
    set_options(fd, congestion);
    close(listener);
  }
  ~Peer() {
    close(fd);
    waitpid(pid, nullptr, 0);
  }
};

double round_trip(size_t size, int flags, int samples, const char* congestion) {
  Peer peer(size, size, flags, congestion);
  std::vector<char> data(size, 1);
  auto once = [&] {
    send_all(peer.fd, data.data(), size, flags);
    recv_all(peer.fd, data.data(), 8, flags);
  };
  for (int i = 0; i < samples / 10; i++) once();
  return time_each(samples, once);
}

constexpr size_t kChunk = 1 << 20;

double stream(int fd, size_t total, int rounds) {
  std::vector<char> data(kChunk, 1);
  std::vector<double> rates;
  for (int round = 0; round < rounds; round++) {
    int64_t start = now_ns();
    for (size_t sent = 0; sent < total; sent += kChunk) send_all(fd, data.data(), kChunk, 0);
    // The receiver is at most one socket buffer behind, which is small beside `total`.
    if (round > 0) rates.push_back(static_cast<double>(total) * 1e9 / static_cast<double>(now_ns() - start));
  }
  return median(std::move(rates));
}

double stream_here(const char* congestion) {
  Peer peer(0, kChunk, MSG_WAITALL, congestion);
  return stream(peer.fd, 1ul << 30, 8);
}

int receive() {
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  socklen_t length = sizeof address;
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), length) != 0 || listen(listener, 1) != 0) die("listen");
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
  std::printf("%d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  int fd = accept(listener, nullptr, nullptr);
  if (fd < 0) die("accept");
  set_options(fd, nullptr);
  std::vector<char> data(kChunk);
  while (recv_all(fd, data.data(), kChunk, MSG_WAITALL)) {}
  return 0;
}

int send_to(const char* host, const char* port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::atoi(port)));
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1) die("HOST is no IPv4 address");
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  set_options(fd, nullptr);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) die("connect");
  report("tcp-stream-1MiB", stream(fd, 512ul << 20, 6), "B/s");
  return 0;
}
}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "receive") == 0) return receive();
  if (argc == 4 && std::strcmp(argv[1], "send") == 0) return send_to(argv[2], argv[3]);
  const char* congestion = argc > 1 && argv[1][0] != '\0' ? argv[1] : nullptr;
  report("tcp-round-trip-spinning", round_trip(8, MSG_DONTWAIT, 20'000, congestion), "ns");
  report("tcp-round-trip-blocking", round_trip(8, 0, 20'000, congestion), "ns");
  report("tcp-64KiB-and-ack", round_trip(64 << 10, 0, 5'000, congestion), "ns");
  report("tcp-stream-1MiB", stream_here(congestion), "B/s");
}
