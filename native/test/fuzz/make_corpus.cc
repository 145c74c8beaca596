// Writes the committed corpus again, after a change of a wire format: fuzz_corpus native/test (build target fuzz_corpus).
#include <elf.h>
#include <lz4.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "host/guest_wire.h"
#include "host/host.h"
#include "host/layout.h"
#include "host/move_layout.h"
#include "host/move_wire.h"
#include "memory/transport/handshake.h"

namespace {

using Bytes = std::vector<std::byte>;
std::filesystem::path root;

void put(const char* target, const std::string& name, uint8_t what, std::span<const std::byte> bytes, bool tagged = true) {
  const auto directory = root / "fuzz" / "corpus" / target;
  std::filesystem::create_directories(directory);
  std::ofstream file(directory / name, std::ios::binary);
  if (tagged) file.put(static_cast<char>(what));
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

// Every golden message as a frame, alone.
void memory_receive() {
  std::ifstream golden(root / "wire_golden.txt");
  for (std::string line; std::getline(golden, line);) {
    std::istringstream words(line);
    std::string name, hex;
    if (!(words >> name >> hex) || name[0] == '#') continue;
    Bytes head;
    for (size_t i = 0; i + 1 < hex.size(); i += 2) head.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    for (size_t i = 4; i < 12; i++) head[i] = std::byte{i == 4};  // the epoch of the job that receives it
    Bytes record{std::byte{0}, static_cast<std::byte>(head.size() & 255), static_cast<std::byte>(head.size() >> 8), {}, {}};
    record.insert(record.end(), head.begin(), head.end());
    put("memory_receive", name, 0, record, false);
  }
}

void transport() {
  using namespace dmi::memory::transport;
  const Identity a{"job", "secret", "build-1", 1}, b{"job", "secret", "build-1", 7};
  auto initiator = Handshake::initiate(b, 1, "member", {}, 0);
  auto acceptor = Handshake::respond(a);
  Bytes to_acceptor, to_initiator;
  for (int round = 0; round < 3; round++) {
    for (auto [from, to, said] : {std::tuple{&initiator, &acceptor, &to_acceptor}, std::tuple{&acceptor, &initiator, &to_initiator}}) {
      auto bytes = from->take_output();
      said->insert(said->end(), bytes.begin(), bytes.end());
      for (std::span rest(bytes); !rest.empty() && to->state() == Handshake::State::Talking;) {
        const auto n = std::min(to->wanted(), rest.size());
        to->feed(rest.first(n));
        rest = rest.subspan(n);
      }
      if (to == &acceptor && acceptor.state() == Handshake::State::Deciding) acceptor.accept(0);
    }
  }
  put("transport", "acceptor", 0, to_acceptor);
  put("transport", "initiator", 1, to_initiator);
  auto refusing = Handshake::respond(a);
  refusing.refuse(RefuseCode::Version, "wire version 99, this host speaks 2");
  put("transport", "refused", 1, refusing.take_output());
  Bytes links;
  uint64_t seq = 1;
  for (const auto& [kind, head, body] : {std::tuple{LinkKind::Engine, 12u, 0u}, {LinkKind::Engine, 20u, 100u}, {LinkKind::App, 0u, 30u}, {LinkKind::Ping, 0u, 0u},
                                         {LinkKind::Ack, 0u, 0u}, {LinkKind::Engine, 4u, 9000u}}) {
    Link l{kind, head, body, kind >= LinkKind::Ack ? 0 : seq++, 0};
    const auto at = links.size();
    links.resize(at + kLinkSize);
    encode_link(l, &links[at]);
    links.resize(links.size() + head + body, std::byte{'x'});
  }
  put("transport", "links", 2, links);
}

void move_wire() {
  using namespace dmi::host;
  Guest g;
  g.key = 1ull << 32 | 5;
  g.cwd = "/tmp";
  g.files.open_console();
  g.input.unread = "not read yet";
  g.space.create({kZoneLow, kZoneHigh}, 1 << 24);
  g.space.map(0, 1 << 20, 3, 0x22, -1, 0, nullptr);
  g.space.map(0, 1 << 16, 1, 0x22, -1, 0, nullptr);
  const auto layout = layout_of(g.space, {{"/a/file", "hash", 4096, ""}});
  Writer offer;  // what follows the build
  offer.num(g.key), offer.num<uint64_t>(1 << 20);
  write_features(offer, {"avx2", "sse2"});
  Beacon().save(offer);
  g.files.save(offer);
  write_layout(offer, layout);
  put("move_wire", "offer", 0, offer.view());
  Writer thread;
  write_guest(thread, g);
  put("move_wire", "thread", 1, thread.view());
  Writer layouts;
  write_layout(layouts, layout);
  write_layout(layouts, layout);
  put("move_wire", "layouts", 2, layouts.view());
  Writer stream;
  const auto frame = [&](MoveMessage type, const Writer& body) {
    stream.num(static_cast<uint32_t>(body.size()));
    stream.num(type);
    for (auto b : body.view()) stream.num(static_cast<uint8_t>(b));
  };
  frame(MoveMessage::Pages, {});
  stream.num(uint32_t{1}), stream.num(uint64_t{0x2000'0000'0000}), stream.num(uint64_t{4096});
  for (int i = 0; i < 512; i++) stream.num(uint64_t{7});
  stream.num(uint32_t{0});
  frame(MoveMessage::Pages, {});
  // In pieces: a plain one, and one that unpacks to a page of one byte over and over.
  stream.num(uint32_t{1u << 31 | 1}), stream.num(uint64_t{0x2000'0000'0000}), stream.num(uint64_t{8192});
  stream.num(uint32_t{4096}), stream.num(uint32_t{0});
  for (int i = 0; i < 512; i++) stream.num(uint64_t{7});
  std::vector<char> page(4096, 7), packed(4096);
  const int n = LZ4_compress_default(page.data(), packed.data(), 4096, 4096);
  stream.num(uint32_t{4096}), stream.num(static_cast<uint32_t>(n));
  for (int i = 0; i < n; i++) stream.num(static_cast<uint8_t>(packed[static_cast<size_t>(i)]));
  stream.num(uint32_t{0});
  frame(MoveMessage::Look, {});
  stream.num(uint32_t{2}), stream.num(uint64_t{0x2000'0000'0000}), stream.num(uint64_t{4096}), stream.num(uint64_t{0x2000'0001'0000}), stream.num(uint64_t{8192});
  stream.num(uint32_t{0});
  frame(MoveMessage::Abort, {});
  put("move_wire", "stream", 3, stream.view());
}

// A small executable: what open_elf looks at.
void elf_image() {
  Bytes file(4096);
  Elf64_Ehdr head{};
  std::memcpy(head.e_ident, ELFMAG, SELFMAG);
  head.e_ident[EI_CLASS] = ELFCLASS64, head.e_ident[EI_DATA] = ELFDATA2LSB, head.e_ident[EI_VERSION] = EV_CURRENT;
  head.e_type = ET_DYN, head.e_machine = EM_X86_64, head.e_version = EV_CURRENT, head.e_entry = 0x100;
  head.e_phoff = sizeof head, head.e_ehsize = sizeof head, head.e_phentsize = sizeof(Elf64_Phdr), head.e_phnum = 4;
  const char loader[] = "/lib64/ld-linux-x86-64.so.2";
  const Elf64_Phdr parts[] = {
      {PT_INTERP, PF_R, 0x200, 0x200, 0x200, sizeof loader, sizeof loader, 1},
      {PT_LOAD, PF_R | PF_X, 0, 0, 0, 0x800, 0x800, 0x1000},
      {PT_LOAD, PF_R | PF_W, 0x800, 0x1800, 0x1800, 0x100, 0x900, 0x1000},
      {PT_GNU_STACK, PF_R | PF_W, 0, 0, 0, 0, 0, 16},
  };
  std::memcpy(file.data(), &head, sizeof head);
  std::memcpy(file.data() + sizeof head, parts, sizeof parts);
  std::memcpy(file.data() + 0x200, loader, sizeof loader);
  put("elf_image", "small", 0, file, false);
}

// What is spoilt, and how, is chosen by the bytes: any will do.
void memory_frames() {
  Bytes bytes(600);
  for (int i = 0; i < 3; i++) {
    for (size_t at = 0; at < bytes.size(); at++) bytes[at] = static_cast<std::byte>((at + 1) * (2654435761u + static_cast<unsigned>(i) * 40503u) >> 13);
    put("memory_frames", "bytes-" + std::to_string(i), 0, bytes, false);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: fuzz_corpus native/test\n";
    return 2;
  }
  root = argv[1];
  memory_receive();
  transport();
  move_wire();
  elf_image();
  memory_frames();
}
