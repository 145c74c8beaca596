// What the transport knows of one other member.
#pragma once
#include "transport.h"

namespace dmi::memory::transport {

struct Transport::Peer {
  explicit Peer(MemberId member) : id(member), receiver(member), sender(receiver.received()) {}

  const MemberId id;
  Receiver receiver;  // under rx
  Sender sender;      // has its own lock
  std::atomic<bool> gone{false};
  std::atomic<bool> wanted{false};  // frames wait and there is no connection
  std::atomic<uint32_t> held{0};    // frames that flush_soon() has put off
  std::atomic<bool> down{false};    // the connection has ended: the communication thread is to clean up

  // Held by whoever receives from the connection. Order of locks: rx, the engine's, sender's.
  SpinMutex rx;
  std::atomic<pthread_t> rx_owner{};
  Fd fd;                // written by the communication thread under rx
  std::shared_ptr<SharedRings> rings;  // as fd: where its data goes, if not over the socket
  std::string why;      // under rx: how the last connection ended

  // Under Transport::mutex_.
  std::string host;
  uint16_t port = 0;

  // Communication thread only.
  LinkState link = LinkState::Idle;
  int64_t retry_at = 0;
  int64_t backoff = 0;
  int64_t down_since = 0;  // 0: connected, or nobody wants a connection
  int64_t reported = 0;    // when unreachable was last called; it is again, every time-out, while the outage lasts
  std::string last_failure;

  // rx as a scoped lock that a callback under it may meet again.
  class Receiving {
   public:
    explicit Receiving(Peer& p) : peer_(p), nested_(p.rx_owner.load() == pthread_self()) {
      if (nested_) return;
      p.rx.lock();
      p.rx_owner = pthread_self();
    }
    ~Receiving() {
      if (nested_) return;
      peer_.rx_owner = pthread_t{};
      peer_.rx.unlock();
    }
    bool nested() const { return nested_; }

   private:
    Peer& peer_;
    bool nested_;
  };
};

}  // namespace dmi::memory::transport
