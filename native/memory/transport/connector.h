// Connections on their way: accepts, connects and shakes hands without blocking. Runs on the communication thread only.
//
// What is not yet authenticated is limited in number (kMaxUnproven, the oldest gives way), in time (kHandshakeTime) and
// in bytes (handshake.h).
#pragma once
#include <netinet/in.h>
#include <sys/epoll.h>

#include <functional>
#include <map>
#include <memory>

#include "handshake.h"
#include "socket.h"

namespace dmi::memory::transport {

class Connector {
 public:
  static constexpr size_t kMaxUnproven = 64;
  static constexpr int64_t kHandshakeTime = 5'000'000'000;  // ns

  // What the connector asks its owner. None of them may call back into the connector, except abandon() in incoming() and connected().
  struct Owner {
    // An authentic peer wants a connection: accept() or refuse() it.
    std::function<void(Handshake&)> incoming;
    // A handshake is complete. `initiated`: by us.
    std::function<void(Fd, const Handshake::Peer&, bool initiated)> connected;
    // A connect() of ours has come to nothing.
    std::function<void(MemberId, RefuseCode, std::string why)> failed;
    std::function<void(int level, std::string line)> log;
  };

  Connector(Identity identity, Fd listener, Owner owner);
  int epoll() const { return epoll_.get(); }  // readable when there is work for run()
  uint16_t port() const { return port_; }

  void connect(MemberId to, const std::string& host, uint16_t port, uint64_t received, bool share);
  // Gives up connections to the member, and those from it that have been accepted and are not complete.
  void abandon(MemberId member);
  bool connecting(MemberId to) const;

  // Handles what is ready and what is overdue, without waiting.
  void run(int64_t now);
  int64_t deadline() const;  // when run() is due again though nothing happened; 0: never

 private:
  struct Attempt {
    Fd fd;
    Handshake handshake;
    int64_t deadline;
    MemberId to;             // kNoMember: accepted
    std::string address;     // for people
    bool connected;          // the TCP connection is up
    std::vector<std::byte> output;
    uint32_t events = 0;     // what epoll watches
  };
  using Attempts = std::map<uint64_t, Attempt>;

  void accept_all(int64_t now);
  void add(Attempt attempt);
  void progress(Attempts::iterator at);
  bool read(Attempt& attempt);
  bool write(Attempt& attempt);
  void finish(Attempts::iterator at, std::string error);
  void watch(uint64_t id, Attempt& attempt);

  const Identity identity_;
  Owner owner_;
  Fd epoll_, listener_;
  uint16_t port_;
  Attempts attempts_;
  size_t unproven_ = 0;       // accepted ones among attempts_
  uint64_t next_id_ = 1;      // 0: the listener
  int64_t listener_pause_ = 0;  // out of descriptors: try again then
};

}  // namespace dmi::memory::transport
