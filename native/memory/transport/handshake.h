// How two members get to know each other on a new connection: a sans-IO state machine for either side.
//
//   initiator                                   acceptor
//   Hello {nonce, who, to whom, job, service}  →
//                                              ←  Challenge {proof, nonce, who}     or Refuse {code, sentence}
//   Auth {proof, received, extra}              →
//                                              ←  Accept {received, offer?}         or Refuse
//   Confirm {taken}, after an offer            →
//
// An acceptor on the initiator's machine may offer shared memory for the data (shared_rings.h), to an initiator whose Hello
// names the feature; the initiator confirms whether it could take it.
//
// A proof is HMAC-SHA-256 with the job's key over the side's name and everything said before it, so both sides know
// that the other one has the key and heard the same words, and a recording is worth nothing: nonces are fresh.
// `received` is the highest link seq of the session the side has received: the other one resumes after it.
#pragma once
#include <array>
#include <string>

#include "../member.h"
#include "shared_rings.h"
#include "wire.h"

namespace dmi::memory::transport {

struct Identity {
  std::string job, key, build;
  MemberId self = kNoMember;
  uint32_t features = 0;     // kSharedMemory, if wanted
};

enum class RefuseCode : uint16_t {
  Version = 1, Features, Malformed, Job, Key, Target, Build, Service,
  Crossing,  // the acceptor's own connection to the initiator is on its way and goes first
  Gone,      // the acceptor's view says that the initiator has left
};

class Handshake {
 public:
  enum class State {
    Talking,
    Deciding,  // acceptor: the peer is authentic; call accept() or refuse(). Initiator: open offer() and call confirm()
    Done,
    Failed,    // error() says why; unsent output may still tell the peer
  };
  struct Peer {
    MemberId member = kNoMember;
    std::string build, service;
    std::vector<std::byte> extra;
    uint64_t received = 0;
    uint32_t features = 0;
    bool near = false;                   // on the same machine as far as addresses tell; set by whoever has the socket
    std::shared_ptr<SharedRings> rings;  // agreed on
  };

  static Handshake initiate(const Identity& self, MemberId to, std::string_view service,
                            std::span<const std::byte> extra, uint64_t received);
  static Handshake respond(const Identity& self);

  State state() const { return state_; }
  // Exactly this many bytes are to be read next; no byte behind the handshake is ever taken.
  size_t wanted() const { return wanted_ - input_.size(); }
  void feed(std::span<const std::byte> bytes);  // at most wanted()
  // Bytes to be sent; the caller takes them away.
  std::vector<std::byte> take_output() { return std::move(output_); }

  void accept(uint64_t received, std::shared_ptr<SharedRings> rings = nullptr);
  const SharedRings::Offer& offer() const { return offer_; }
  void confirm(std::shared_ptr<SharedRings> rings);  // null: could not be opened here
  void refuse(RefuseCode code, std::string_view text);

  const Peer& peer() const { return peer_; }
  // Acceptor: has told a member what was received from it.
  bool told() const { return peer_.service == "member" && (state_ == State::Done || expected_ == HandshakeType::Confirm); }
  void set_near(bool near) { peer_.near = near; }
  const std::string& error() const { return error_; }
  // Why the peer refused us, or we the peer; 0 when nobody did.
  RefuseCode refused() const { return refused_; }

 private:
  explicit Handshake(const Identity& self) : self_(self) {}
  void message(HandshakeType type, std::span<const std::byte> payload);
  void head();
  void on_hello(std::span<const std::byte> payload);
  void on_challenge(std::span<const std::byte> payload);
  void on_auth(std::span<const std::byte> payload);
  void on_accept(std::span<const std::byte> payload);
  void on_confirm(std::span<const std::byte> payload);
  void on_refuse(std::span<const std::byte> payload);
  void send(HandshakeType type, std::span<const std::byte> payload);
  void fail(std::string text);
  std::array<unsigned char, kProof> proof(std::string_view side, std::span<const std::byte> tail) const;

  Identity self_;
  Peer peer_;
  bool initiator_ = false;
  bool shares_ = false;              // initiator: has said that it can share memory
  SharedRings::Offer offer_;
  State state_ = State::Talking;
  RefuseCode refused_{};
  std::string error_;
  std::vector<std::byte> extra_;     // initiator: what to say in Auth
  uint64_t received_ = 0;
  std::vector<std::byte> said_;      // payloads of Hello and Challenge so far, without proofs
  std::vector<std::byte> input_, output_;
  size_t wanted_ = kHandshakeHead;   // of the message being read, with what has been read
  HandshakeType expected_{};
};

}  // namespace dmi::memory::transport
