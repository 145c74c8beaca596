#include "handshake.h"

#include <sodium.h>

#include <algorithm>

namespace dmi::memory::transport {
namespace {

constexpr size_t kMaxName = 256;  // bytes of a job id, build or service name

// What an unauthenticated peer says goes to logs and people: printable and short.
std::string printable(std::string text) {
  text.resize(std::min<size_t>(text.size(), kMaxName));
  for (char& c : text)
    if (c < ' ' || c > '~') c = '?';
  return text;
}

}  // namespace

Handshake Handshake::initiate(const Identity& self, MemberId to, std::string_view service,
                              std::span<const std::byte> extra, uint64_t received) {
  Handshake h(self);
  h.initiator_ = true;
  h.peer_.member = to;
  h.extra_.assign(extra.begin(), extra.end());
  h.received_ = received;
  h.expected_ = HandshakeType::Challenge;
  Writer hello;
  std::array<std::byte, kNonce> nonce;
  randombytes_buf(nonce.data(), nonce.size());
  hello.raw(std::span<const std::byte>(nonce));
  h.shares_ = service == "member" && (self.features & kSharedMemory);
  hello.put(h.shares_ ? kSharedMemory : 0u);
  hello.put(uint32_t{0});  // features the acceptor must have
  hello.put(self.self);
  hello.put(to);
  hello.text(self.job);
  hello.text(self.build);
  hello.text(service);
  h.said_ = hello.bytes;
  h.send(HandshakeType::Hello, hello.bytes);
  if (extra.size() > kMaxExtra) h.fail("extra data of a connection is limited to 64 KiB");
  return h;
}

Handshake Handshake::respond(const Identity& self) {
  Handshake h(self);
  h.expected_ = HandshakeType::Hello;
  return h;
}

void Handshake::feed(std::span<const std::byte> bytes) {
  input_.insert(input_.end(), bytes.begin(), bytes.end());
  while (state_ == State::Talking && input_.size() == wanted_) {
    if (wanted_ == kHandshakeHead) head();
    if (state_ == State::Talking && input_.size() == wanted_) {
      const auto whole = std::move(input_);
      input_.clear();
      wanted_ = kHandshakeHead;
      message(static_cast<HandshakeType>(whole[6]), std::span(whole).subspan(kHandshakeHead));
    }
  }
}

// Checks the fixed part as soon as it is there, before believing its size.
void Handshake::head() {
  Reader in(input_);
  const auto magic = in.get<uint32_t>();
  const auto version = in.get<uint16_t>();
  const auto type = static_cast<HandshakeType>(in.get<uint8_t>());
  in.get<uint8_t>();
  const auto size = in.get<uint32_t>();
  if (magic != kMagic) return fail("what connected does not speak DMI's protocol");
  if (type != HandshakeType::Refuse) {
    if (version != kWireVersion) {
      const auto theirs = std::to_string(version), ours = std::to_string(kWireVersion);
      if (!initiator_) refuse(RefuseCode::Version, "wire version " + theirs + ", this host speaks " + ours);
      return fail("peer speaks wire version " + theirs + ", this host " + ours);
    }
    if (type != expected_) return fail("a handshake message came out of turn");
  } else if (expected_ == HandshakeType::Hello) {
    return fail("a handshake message came out of turn");
  }
  if (size > (type == HandshakeType::Auth ? kMaxHandshake : kMaxHello))
    return fail("a handshake message of " + std::to_string(size) + " bytes is too long");
  wanted_ = kHandshakeHead + size;
}

void Handshake::message(HandshakeType type, std::span<const std::byte> payload) {
  switch (type) {
    case HandshakeType::Hello: return on_hello(payload);
    case HandshakeType::Challenge: return on_challenge(payload);
    case HandshakeType::Auth: return on_auth(payload);
    case HandshakeType::Accept: return on_accept(payload);
    case HandshakeType::Confirm: return on_confirm(payload);
    case HandshakeType::Refuse: return on_refuse(payload);
  }
}

void Handshake::on_hello(std::span<const std::byte> payload) {
  Reader in(payload);
  in.take(kNonce);
  peer_.features = in.get<uint32_t>();
  const auto required = in.get<uint32_t>();
  peer_.member = in.get<MemberId>();
  const auto to = in.get<MemberId>();
  const auto job = in.text(kMaxName);
  peer_.build = in.text(kMaxName);
  peer_.service = in.text(kMaxName);
  if (!in.ok) return refuse(RefuseCode::Malformed, "malformed hello");
  if (const auto missing = required & ~kFeatures; missing)
    return refuse(RefuseCode::Features, "this host lacks features " + std::to_string(missing) + " that the peer requires");
  if (job != self_.job)
    return refuse(RefuseCode::Job, "job " + printable(job) + " is not here, this is a host of job " + self_.job);
  if (to != self_.self)
    return refuse(RefuseCode::Target,
                  "member " + std::to_string(to) + " is not here, this is member " + std::to_string(self_.self));
  if (peer_.member < 0 || peer_.member == self_.self) return refuse(RefuseCode::Malformed, "malformed member id");
  said_.assign(payload.begin(), payload.end());

  Writer challenge;
  std::array<std::byte, kNonce> nonce;
  randombytes_buf(nonce.data(), nonce.size());
  challenge.raw(std::span<const std::byte>(nonce));
  challenge.put(self_.features);
  challenge.put(self_.self);
  challenge.text(self_.build);
  said_.insert(said_.end(), challenge.bytes.begin(), challenge.bytes.end());
  const auto mac = proof("acceptor", {});
  Writer out;
  out.raw(std::as_bytes(std::span(mac)));
  out.raw(challenge.bytes);
  send(HandshakeType::Challenge, out.bytes);
  expected_ = HandshakeType::Auth;
}

void Handshake::on_challenge(std::span<const std::byte> payload) {
  Reader in(payload);
  const auto theirs = in.take(kProof);
  const auto words = in.rest;
  in.take(kNonce);
  in.get<uint32_t>();
  const auto member = in.get<MemberId>();
  peer_.build = in.text(kMaxName);
  if (!in.ok || member != peer_.member) return fail("malformed challenge");
  said_.insert(said_.end(), words.begin(), words.end());
  const auto expected = proof("acceptor", {});
  if (sodium_memcmp(theirs.data(), expected.data(), kProof) != 0)
    return refuse(RefuseCode::Key, "member " + std::to_string(member) + " does not know the job's key");

  Writer tail;
  tail.put(received_);
  tail.put(static_cast<uint32_t>(extra_.size()));
  tail.raw(extra_);
  const auto mac = proof("initiator", tail.bytes);
  Writer out;
  out.raw(std::as_bytes(std::span(mac)));
  out.raw(tail.bytes);
  send(HandshakeType::Auth, out.bytes);
  expected_ = HandshakeType::Accept;
}

void Handshake::on_auth(std::span<const std::byte> payload) {
  Reader in(payload);
  const auto theirs = in.take(kProof);
  if (!in.ok) return refuse(RefuseCode::Malformed, "malformed proof");
  const auto expected = proof("initiator", in.rest);
  if (sodium_memcmp(theirs.data(), expected.data(), kProof) != 0)
    return refuse(RefuseCode::Key, "member " + std::to_string(peer_.member) + " does not know the job's key");
  peer_.received = in.get<uint64_t>();
  const auto extra = in.take(in.get<uint32_t>());
  if (!in.ok || extra.size() > kMaxExtra) return refuse(RefuseCode::Malformed, "malformed extra data");
  peer_.extra.assign(extra.begin(), extra.end());
  state_ = State::Deciding;
  wanted_ = 0;
}

void Handshake::on_accept(std::span<const std::byte> payload) {
  Reader in(payload);
  peer_.received = in.get<uint64_t>();
  if (!in.ok) return fail("malformed acceptance");
  wanted_ = 0;
  if (!shares_ || in.rest.empty()) {
    state_ = State::Done;
    return;
  }
  offer_.boot = in.text(kMaxName);
  offer_.pid = in.get<int32_t>();
  offer_.fd = in.get<int32_t>();
  if (const auto token = in.take(SharedRings::kToken); in.ok) std::copy(token.begin(), token.end(), offer_.token.begin());
  if (!in.ok) return fail("malformed offer of shared memory");
  state_ = State::Deciding;
}

void Handshake::confirm(std::shared_ptr<SharedRings> rings) {
  peer_.rings = std::move(rings);
  Writer out;
  out.put(uint8_t{peer_.rings != nullptr});
  send(HandshakeType::Confirm, out.bytes);
  state_ = State::Done;
}

void Handshake::on_confirm(std::span<const std::byte> payload) {
  Reader in(payload);
  const auto taken = in.get<uint8_t>();
  if (!in.ok || taken > 1) return fail("malformed confirmation");
  peer_.rings->opened();
  if (!taken) peer_.rings.reset();
  state_ = State::Done;
  wanted_ = 0;
}

void Handshake::on_refuse(std::span<const std::byte> payload) {
  Reader in(payload);
  refused_ = static_cast<RefuseCode>(in.get<uint16_t>());
  const auto text = in.text(kMaxHello);
  fail("refused: " + (in.ok ? printable(text) : std::string("no reason given")));
}

void Handshake::accept(uint64_t received, std::shared_ptr<SharedRings> rings) {
  Writer out;
  out.put(received);
  if (!rings) {
    send(HandshakeType::Accept, out.bytes);
    state_ = State::Done;
    return;
  }
  const auto offer = rings->offer();
  out.text(offer.boot);
  out.put(offer.pid);
  out.put(offer.fd);
  out.raw(offer.token);
  send(HandshakeType::Accept, out.bytes);
  peer_.rings = std::move(rings);
  expected_ = HandshakeType::Confirm;
  state_ = State::Talking;
  wanted_ = kHandshakeHead;
}

void Handshake::refuse(RefuseCode code, std::string_view text) {
  Writer out;
  out.put(static_cast<uint16_t>(code));
  out.text(text);
  send(HandshakeType::Refuse, out.bytes);
  refused_ = code;
  fail(std::string(text));
}

void Handshake::send(HandshakeType type, std::span<const std::byte> payload) {
  Writer out;
  out.put(kMagic);
  out.put(kWireVersion);
  out.put(type);
  out.put(uint8_t{0});
  out.put(static_cast<uint32_t>(payload.size()));
  out.raw(payload);
  output_.insert(output_.end(), out.bytes.begin(), out.bytes.end());
}

void Handshake::fail(std::string text) {
  if (error_.empty()) error_ = std::move(text);
  state_ = State::Failed;
  wanted_ = 0;
  input_.clear();
}

std::array<unsigned char, kProof> Handshake::proof(std::string_view side, std::span<const std::byte> tail) const {
  static_assert(crypto_auth_hmacsha256_BYTES == kProof);
  const auto bytes = [](auto data) { return reinterpret_cast<const unsigned char*>(data.data()); };
  crypto_auth_hmacsha256_state mac;
  crypto_auth_hmacsha256_init(&mac, bytes(self_.key), self_.key.size());
  crypto_auth_hmacsha256_update(&mac, bytes(side), side.size());
  crypto_auth_hmacsha256_update(&mac, bytes(said_), said_.size());
  crypto_auth_hmacsha256_update(&mac, bytes(tail), tail.size());
  std::array<unsigned char, kProof> out;
  crypto_auth_hmacsha256_final(&mac, out.data());
  return out;
}

}  // namespace dmi::memory::transport
