// A TCP proxy that cuts connections in the middle of whatever passes, from a seed; for transport_*_test.cc.
#pragma once
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <random>
#include <thread>
#include <vector>

#include "memory/transport/socket.h"

namespace dmi::memory::transport {

class CuttingProxy {
 public:
  // Each connection is cut after 0 to `most` bytes, as long as cutting is on.
  CuttingProxy(uint16_t target, size_t most, uint32_t seed)
      : target_(target), most_(most), random_(seed), listener_(listen_on("127.0.0.1", 0)), thread_([this] { run(); }) {}
  ~CuttingProxy() {
    stop_ = true;
    thread_.join();
  }
  uint16_t port() const { return local_port(listener_.get()); }
  void stop_cutting() { cutting_ = false; }
  int cuts() const { return cuts_; }

 private:
  struct Pair {
    Fd a, b;
    size_t left;
  };

  void run() {
    std::vector<Pair> pairs;
    std::vector<char> buffer(1 << 16);
    while (!stop_) {
      std::vector<pollfd> polls{{listener_.get(), POLLIN, 0}};
      for (const auto& p : pairs) {
        polls.push_back({p.a.get(), POLLIN, 0});
        polls.push_back({p.b.get(), POLLIN, 0});
      }
      if (::poll(polls.data(), polls.size(), 10) <= 0) continue;
      for (size_t i = 0; i < pairs.size(); i++) {
        bool alive = true;
        if (polls[1 + 2 * i].revents) alive = pass(pairs[i], pairs[i].a, pairs[i].b, buffer);
        if (alive && polls[2 + 2 * i].revents) alive = pass(pairs[i], pairs[i].b, pairs[i].a, buffer);
        if (!alive) {
          pairs[i].a.reset();
          pairs[i].b.reset();
        }
      }
      std::erase_if(pairs, [](const Pair& p) { return !p.a; });
      if (!polls[0].revents) continue;
      Fd from(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!from) continue;
      sockaddr_storage at{};
      socklen_t size = 0;
      parse_address("127.0.0.1", target_, at, size);
      Fd to(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      if (connect(to.get(), reinterpret_cast<sockaddr*>(&at), size) == 0)
        pairs.push_back({std::move(from), std::move(to), std::uniform_int_distribution<size_t>(0, most_)(random_)});
    }
  }

  // False: the connection has ended, or is to be cut.
  bool pass(Pair& pair, Fd& from, Fd& to, std::vector<char>& buffer) {
    const ssize_t n = recv(from.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return true;
    if (n <= 0) return false;
    const bool cut = cutting_ && static_cast<size_t>(n) > pair.left;
    const auto bytes = cut ? pair.left : static_cast<size_t>(n);
    if (bytes && send(to.get(), buffer.data(), bytes, MSG_NOSIGNAL) < 0) return false;
    pair.left -= std::min(pair.left, bytes);
    cuts_ += cut;
    return !cut;
  }

  const uint16_t target_;
  const size_t most_;
  std::mt19937 random_;
  Fd listener_;
  std::atomic<bool> stop_{false}, cutting_{true};
  std::atomic<int> cuts_{0};
  std::thread thread_;
};

}  // namespace dmi::memory::transport
