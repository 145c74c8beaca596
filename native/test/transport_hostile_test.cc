// Peers that are not what they should be: refused with a reason, a log line, and nothing else happens.
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <random>

#include "transport_peers.h"
#include "memory/transport/socket.h"

namespace dmi::memory::transport {
namespace {

// A raw connection to a node.
class Raw {
 public:
  explicit Raw(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_storage at{};
    socklen_t size = 0;
    parse_address("127.0.0.1", port, at, size);
    EXPECT_EQ(connect(fd_.get(), reinterpret_cast<sockaddr*>(&at), size), 0);
  }
  void send(std::span<const std::byte> bytes) { ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  // Exactly size bytes, or what came before the end.
  std::vector<std::byte> receive(size_t size, int timeout_ms = 3000) {
    std::vector<std::byte> got(size);
    size_t at = 0;
    while (at < size) {
      pollfd p{fd_.get(), POLLIN, 0};
      if (::poll(&p, 1, timeout_ms) <= 0) break;
      const ssize_t n = recv(fd_.get(), got.data() + at, size - at, 0);
      if (n <= 0) break;
      at += static_cast<size_t>(n);
    }
    got.resize(at);
    return got;
  }
  bool closed(int timeout_ms = 3000) {
    pollfd p{fd_.get(), POLLIN, 0};
    char c;
    return ::poll(&p, 1, timeout_ms) > 0 && recv(fd_.get(), &c, 1, 0) <= 0;
  }
  // Speaks for `handshake` until it needs nothing more. Returns all that the other side said.
  std::vector<std::byte> converse(Handshake& handshake, std::vector<std::byte>* said = nullptr) {
    std::vector<std::byte> heard;
    for (;;) {
      const auto out = handshake.take_output();
      send(out);
      if (said) said->insert(said->end(), out.begin(), out.end());
      if (handshake.state() != Handshake::State::Talking) return heard;
      const auto in = receive(handshake.wanted());
      if (in.empty()) return heard;
      heard.insert(heard.end(), in.begin(), in.end());
      handshake.feed(in);
    }
  }

 private:
  Fd fd_;
};

const Identity kFriend{"job", "secret", "build-1", 7};

std::vector<std::byte> link(Link l) {
  std::vector<std::byte> bytes(kLinkSize);
  encode_link(l, bytes.data());
  return bytes;
}

TEST(TransportHostile, GarbageIsClosed) {
  Node node(1);
  std::mt19937 random(3);
  for (int i = 0; i < 40; i++) {
    Raw raw(node.transport().port());
    std::vector<std::byte> bytes(random() % 300 + 12);
    for (auto& b : bytes) b = static_cast<std::byte>(random());
    if (i % 2) memcpy(bytes.data(), &kMagic, 4);
    raw.send(bytes);
    Raw(node.transport().port());  // and one that hangs up at once
    EXPECT_TRUE(i % 2 || raw.closed()) << i;
  }
  EXPECT_TRUE(eventually([&] { return node.logged("does not speak DMI"); }));
}

TEST(TransportHostile, AnOversizedHandshakeIsClosedBeforeItIsRead) {
  Node node(1);
  Raw raw(node.transport().port());
  Writer out;
  out.put(kMagic);
  out.put(kWireVersion);
  out.put(HandshakeType::Hello);
  out.put(uint8_t{0});
  out.put(uint32_t{0x7fffffff});
  raw.send(out.bytes);
  EXPECT_TRUE(raw.closed());
  EXPECT_TRUE(eventually([&] { return node.logged("too long"); }));
}

TEST(TransportHostile, AnotherVersionIsToldBothVersions) {
  Node node(1);
  Raw raw(node.transport().port());
  auto handshake = Handshake::initiate(kFriend, 1, "member", {}, 0);
  auto hello = handshake.take_output();
  hello[4] = std::byte{99};
  raw.send(hello);
  handshake.feed(raw.receive(handshake.wanted()));
  handshake.feed(raw.receive(handshake.wanted()));
  EXPECT_EQ(handshake.state(), Handshake::State::Failed);
  EXPECT_EQ(handshake.refused(), RefuseCode::Version);
  EXPECT_EQ(handshake.error(), "refused: wire version 99, this host speaks " + std::to_string(kWireVersion));
  EXPECT_TRUE(raw.closed());
  EXPECT_TRUE(eventually([&] { return node.logged("wire version 99"); }));
}

TEST(TransportHostile, WrongKeyJobOrMemberIsRefusedWithTheReason) {
  Node node(1);
  const struct {
    Identity who;
    MemberId to;
    RefuseCode code;
    const char* reason;
  } cases[] = {
      {{"other", "secret", "build-1", 7}, 1, RefuseCode::Job, "job other is not here"},
      {{"job", "secret", "build-1", 7}, 9, RefuseCode::Target, "member 9 is not here"},
      {{"job", "guess", "build-1", 7}, 1, RefuseCode::Key, "does not know the job's key"},
      {{"job", "secret", "build-1", 1}, 1, RefuseCode::Malformed, "malformed member id"},
  };
  for (const auto& c : cases) {
    Raw raw(node.transport().port());
    auto handshake = Handshake::initiate(c.who, c.to, "member", {}, 0);
    raw.converse(handshake);
    EXPECT_EQ(handshake.state(), Handshake::State::Failed);
    EXPECT_EQ(handshake.refused(), c.code) << c.reason;
    EXPECT_NE(handshake.error().find(c.reason), std::string::npos) << handshake.error();
    EXPECT_TRUE(raw.closed());
    EXPECT_TRUE(eventually([&] { return node.logged(c.reason); })) << c.reason;
  }
  EXPECT_EQ(node.count(), 0u);
}

TEST(TransportHostile, AForgedProofIsRefused) {
  Node node(1);
  Raw raw(node.transport().port());
  auto honest = Handshake::initiate(kFriend, 1, "member", {}, 0);
  raw.send(honest.take_output());
  honest.feed(raw.receive(honest.wanted()));
  honest.feed(raw.receive(honest.wanted()));
  auto auth = honest.take_output();
  auth[kHandshakeHead + 5] ^= std::byte{1};
  raw.send(auth);
  EXPECT_FALSE(raw.receive(kHandshakeHead).empty());
  EXPECT_TRUE(eventually([&] { return node.logged("member 7 does not know the job's key"); }));
}

TEST(TransportHostile, ARecordedHandshakeIsWorthNothing) {
  Node node(1);
  std::vector<std::byte> said;
  {
    Raw raw(node.transport().port());
    auto handshake = Handshake::initiate(kFriend, 1, "member", {}, 0);
    raw.converse(handshake, &said);
    ASSERT_EQ(handshake.state(), Handshake::State::Done);
  }
  Raw raw(node.transport().port());
  raw.send(said);
  Writer frame;
  frame.raw(link({LinkKind::Engine, 0, 0, 1, 0}));
  raw.send(frame.bytes);
  EXPECT_TRUE(eventually([&] { return node.logged("member 7 does not know the job's key"); }));
  EXPECT_EQ(node.count(), 0u);
}

TEST(TransportHostile, AnImpostorThatAcceptsIsFoundOut) {
  Node node(1);
  auto listener = listen_on("127.0.0.1", 0);
  set_blocking(listener.get(), true);
  node.transport().know(2, "127.0.0.1", local_port(listener.get()));
  node.send(2, make_frame("secret data"));
  const int fd = accept(listener.get(), nullptr, nullptr);
  auto acceptor = Handshake::respond({"job", "guess", "build-1", 2});
  std::vector<std::byte> bytes(4096);
  while (acceptor.state() == Handshake::State::Talking) {
    const ssize_t n = recv(fd, bytes.data(), acceptor.wanted(), 0);
    if (n <= 0) break;
    acceptor.feed({bytes.data(), static_cast<size_t>(n)});
    const auto out = acceptor.take_output();
    ::send(fd, out.data(), out.size(), MSG_NOSIGNAL);
  }
  EXPECT_EQ(acceptor.refused(), RefuseCode::Key);
  EXPECT_TRUE(eventually([&] { return node.logged("member 2 does not know the job's key"); }));
  close(fd);
}

TEST(TransportHostile, HalfOpenConnectionsAreLimitedInNumberAndTime) {
  Node node(1);
  std::vector<std::unique_ptr<Raw>> raws;
  for (size_t i = 0; i < Connector::kMaxUnproven + 10; i++) raws.push_back(std::make_unique<Raw>(node.transport().port()));
  EXPECT_TRUE(raws[0]->closed());
  EXPECT_TRUE(eventually([&] { return node.logged("too many connections"); }));
  // A member gets in all the same.
  Node other(2);
  other.meet(node);
  other.send(1, make_frame("hello"));
  EXPECT_TRUE(eventually([&] { return node.count() == 1; }, 3));
  EXPECT_TRUE(raws.back()->closed(7000));
  EXPECT_TRUE(eventually([&] { return node.logged("within 5 s"); }));
}

TEST(TransportHostile, LinksThatCannotBeEndTheConnection) {
  const Link bad[] = {
      {static_cast<LinkKind>(9), 0, 0, 1, 0},            // unknown kind
      {LinkKind::Engine, 0, kMaxBody + 1, 1, 0},         // too long
      {LinkKind::Engine, 0, 0, 2, 0},                    // not the next
      {LinkKind::Ack, 10, 0, 0, 0},                      // an acknowledgement with a head
      {LinkKind::App, 10, 0, 1, 0},                      // a message with a head
      {LinkKind::Ack, 0, 0, 0, 1000},                    // acknowledges what was never sent
  };
  for (const auto& l : bad) {
    Node node(1);
    Raw raw(node.transport().port());
    auto handshake = Handshake::initiate(kFriend, 1, "member", {}, 0);
    raw.converse(handshake);
    ASSERT_EQ(handshake.state(), Handshake::State::Done);
    raw.send(link(l));
    EXPECT_TRUE(raw.closed()) << static_cast<int>(l.kind) << " " << l.seq;
    EXPECT_TRUE(eventually([&] { return node.logged("connection with member 7 ended: "); }));
    EXPECT_EQ(node.count(), 0u);
  }
}

TEST(TransportHostile, AnImpossibleReceptionCountIsNotBelieved) {
  Node node(1);
  Raw raw(node.transport().port());
  auto handshake = Handshake::initiate(kFriend, 1, "member", {}, 99);
  raw.converse(handshake);
  EXPECT_TRUE(raw.closed());
  EXPECT_TRUE(eventually([&] { return node.logged("claims to have received"); }));
}

TEST(TransportHostile, AMoveFromAnotherBuildIsRefused) {
  Node node(1);
  Raw raw(node.transport().port());
  auto handshake = Handshake::initiate({"job", "secret", "build-2", 7}, 1, "move", {}, 0);
  raw.converse(handshake);
  EXPECT_EQ(handshake.refused(), RefuseCode::Build);
  EXPECT_NE(handshake.error().find("build-2"), std::string::npos);
}

}  // namespace
}  // namespace dmi::memory::transport
