// Frames between the members of a job, over TCP: one duplex connection per pair, made when first needed, remade when it
// breaks. Order is kept per pair; nothing is lost or doubled while both members live.
//
// Who does the network's work: whoever polls. Idle workers call poll(); the communication thread blocks in epoll when
// nobody does. While workers poll regularly the communication thread is *parked* on a futex and looks every kHandOver
// whether they still do: data wakes nobody who is not needed, and a poller that the kernel takes from its core for
// long is replaced. See spin.cc.
//
//   thread that submits --push, flush--> Sender --sendmsg--> socket
//   poller              --epoll, recvmsg--> Receiver --> FrameHandler
//   communication thread: the same, and Connector (handshakes), reconnects, time-outs
#pragma once
#include <pthread.h>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "connector.h"
#include "receiver.h"
#include "sender.h"

namespace dmi::memory::transport {

// What the transport tells its owner, besides frames; from any of its threads, without locks of the owner's concern.
struct TransportEvents {
  std::function<void(MemberId, std::string_view why)> unreachable;
  std::function<void(int fd, std::string_view service, MemberId from, std::span<const std::byte> extra)> stream;
  std::function<void(int level, std::string_view line)> log;
};

struct TransportConfig {
  Identity identity;
  std::string bind_host = "127.0.0.1";
  uint16_t bind_port = 0;
  double peer_timeout = 30;  // seconds
  int spin_us = 50;          // how long the communication thread looks out for more after traffic
  bool share = false;        // memory, with peers on this machine, for the data of connections
};

class Transport {
 public:
  // Listens at once; handles connections after start(). Throws std::system_error.
  Transport(TransportConfig config, FrameHandler& handler, TransportEvents events);
  ~Transport();
  void start();
  uint16_t port() const { return connector_.port(); }

  // ---- any thread ---------------------------------------------------------------------------------------------
  void know(MemberId member, const std::string& host, uint16_t port);
  // The member has left for good. On return nothing of it is being received, and nothing for it is kept.
  void forget(MemberId member);
  // Queues a frame; flush() of the result writes it. Calls that are ordered by the caller's lock stay so on the wire.
  struct Peer;
  Peer* push(MemberId to, LinkKind kind, Frame&& frame);
  void flush(Peer* peer);
  // As flush(), for a small frame that answers now on their way may take along: it is written when kHold of them wait, when
  // anything arrives, when anybody polls, or kHoldFor later, whichever is first.
  void flush_soon(Peer* peer);
  // As flush_soon(), for what the owner keeps to itself: then FrameHandler::release() is called.
  void hold();
  void flush_held();
  // Receives and hands over, waiting at most spin_us for something to do. True: something happened, here or, told by
  // happened(), on another thread.
  bool poll(int spin_us);
  void happened() { happenings_.fetch_add(1, std::memory_order_release); }
  // Closes the connection of a peer that broke the protocol.
  void hang_up(MemberId member, std::string why);
  int open_stream(MemberId to, std::string_view service, std::span<const std::byte> extra, double timeout);
  // Calls `quiet` once, when every live peer has acknowledged everything.
  void when_quiet(std::function<void()> quiet);
  // Runs `work` on the communication thread.
  void defer(std::function<void()> work);

  struct Counters { uint64_t messages_sent, messages_received, bytes_sent, bytes_received; };
  Counters counters() const;

 private:
  static constexpr uint32_t kLook = 1u << 30;  // service(): nobody has said that there is something
  enum class LinkState { Idle, Connecting, Up, Backoff };

  Peer* peer(MemberId member);
  std::vector<Peer*> peers() const;
  bool service(Peer& peer, uint32_t events);
  void kick();
  void note_activity();
  void log(int level, const std::string& line) const;

  // The communication thread: comm.cc.
  void run();
  void wait_and_serve();
  bool serve(int timeout_ms);
  bool serve_hot();
  bool look_at_rings();
  bool rings_doze();
  void rings_awake();
  bool others_poll();
  void spin_on();
  void park();
  void wake_parked();
  void administer(int64_t now);
  void administer(Peer& peer, int64_t now);
  int64_t next_timeout(int64_t now);
  void tick(int64_t now);
  void connect(Peer& peer);
  void drop_link(Peer& peer);
  std::atomic<Peer*>* ring_slot(Peer* holds);
  void on_incoming(Handshake& handshake);
  void on_connected(Fd fd, const Handshake::Peer& who, bool initiated);
  void on_failed(MemberId member, RefuseCode code, std::string why);
  void retry_later(Peer& peer, int64_t now, int64_t at_least);

  static constexpr uint32_t kHold = 32;        // frames
  static constexpr int64_t kHoldFor = 50'000;  // ns

  const TransportConfig config_;
  FrameHandler& handler_;
  const TransportEvents events_;
  Fd epoll_, kick_fd_, hold_timer_;
  Connector connector_;

  mutable std::mutex mutex_;  // peers_ and the peers' addresses
  std::unordered_map<MemberId, std::unique_ptr<Peer>> peers_;  // never erased: ids are not used twice
  static constexpr MemberId kQuick = 1024;
  std::atomic<Peer*> quick_[kQuick]{};  // the same, for low ids, without the mutex

  std::thread thread_;
  std::atomic<pthread_t> comm_{};  // thread_, as it knows itself
  std::atomic<bool> stop_{false}, kicked_{false}, active_{false}, untimed_{false};
  std::mutex work_mutex_;
  std::function<void()> quiet_;
  std::vector<std::function<void()>> deferred_;
  std::atomic<bool> want_quiet_{false};
  int64_t last_active_ = 0, next_tick_ = 0, stalled_until_ = 0;  // communication thread only

  // Peers with frames that flush_soon() put off.
  std::atomic<bool> holding_{false};
  SpinMutex held_mutex_;
  std::vector<Peer*> held_;

  // Who polls; see spin.cc.
  std::atomic<Peer*> hot_{nullptr};  // the peer that last sent something over a socket: asked without epoll
  static constexpr size_t kRings = 64;  // pairs of rings at most; peers beyond that use sockets
  std::array<std::atomic<Peer*>, kRings> ringed_{};  // written by the communication thread
  std::atomic<size_t> ringed_end_{0};                // slots beyond were never used
  std::atomic<bool> dozing_{false};  // the communication thread is to be woken by a bell
  alignas(64) std::atomic<int> spinners_{0};
  std::atomic<uint32_t> heartbeat_{0};
  std::atomic<uint32_t> happenings_{0};
  alignas(64) std::atomic<uint32_t> parked_{0};
  bool serving_ = true;         // communication thread only: nobody else polls
  uint32_t seen_heartbeat_ = 0;
  int64_t contended_until_ = 0, calm_ = 0;  // communication thread only
};

}  // namespace dmi::memory::transport
