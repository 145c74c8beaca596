// Instruction lengths against a disassembler, and which system call sites may be rewritten.
#include "host/hot_sites.h"

#include <ctype.h>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <string.h>

#include <array>
#include <string>
#include <vector>

#include "host/instruction.h"

namespace {
using dmi::host::can_give_way;
using dmi::host::instruction_length;
using Bytes = std::vector<uint8_t>;

struct Line {
  uint64_t address;
  Bytes bytes;
};

// What objdump makes of the C library from `memcpy`'s neighbourhood on: vector code, string code, wrappers.
std::vector<Line> disassemble() {
  Dl_info info{};
  dladdr(reinterpret_cast<void*>(&popen), &info);
  const std::string command = std::string("objdump -d -w --insn-width=16 -j .text ") + info.dli_fname + " 2>/dev/null";
  std::vector<Line> lines;
  FILE* f = popen(command.c_str(), "r");
  std::array<char, 512> text{};
  while (f && fgets(text.data(), text.size(), f)) {
    Line line{};
    int at = 0;
    if (sscanf(text.data(), " %lx:%n", &line.address, &at) != 1 || at == 0 || strstr(text.data(), "(bad)")) continue;
    const char* p = text.data() + at + 1;
    for (unsigned v = 0; isxdigit(*p) && sscanf(p, "%2x", &v) == 1; p += 3) line.bytes.push_back(static_cast<uint8_t>(v));
    if (!line.bytes.empty()) lines.push_back(line);
  }
  if (f) pclose(f);
  return lines;
}
const std::vector<Line>& library() {
  static const std::vector<Line> lines = disassemble();
  return lines;
}

Bytes padded(const Bytes& before, const Bytes& code) {
  Bytes b(96 - before.size() - code.size() % 16, 0x90);
  b.insert(b.end(), before.begin(), before.end());
  b.insert(b.end(), code.begin(), code.end());
  return b;
}
bool gives_way(const Bytes& before) {
  const Bytes text = padded(before, {0x0f, 0x05, 0xc3});
  return can_give_way(text.data(), text.size(), text.size() - 3);
}

TEST(Instructions, AreAsLongAsTheDisassemblerSays) {
  ASSERT_GE(library().size(), 10'000u) << "objdump gives nothing of the C library; install binutils";
  size_t wrong = 0;
  for (const Line& l : library()) {
    Bytes code = l.bytes;
    code.resize(16, 0xcc);
    const int n = instruction_length(code.data(), code.size());
    if (n == static_cast<int>(l.bytes.size())) continue;
    // A prefix alone on a line, or a jump into the middle of `lock`: the disassembler's way of showing them.
    if (l.bytes.size() == 1 && n > 1) continue;
    if (++wrong < 10) ADD_FAILURE() << std::hex << l.address << ": " << std::dec << n << " instead of " << l.bytes.size();
  }
  EXPECT_EQ(wrong, 0u) << "of " << library().size();
}

TEST(Instructions, OfWhichThereIsNotAllAreNone) {
  const Bytes code = {0xb8, 1, 0, 0, 0};
  EXPECT_EQ(instruction_length(code.data(), 5), 5);
  for (size_t room = 0; room < 5; room++) EXPECT_EQ(instruction_length(code.data(), room), 0);
  const Bytes prefixes(20, 0x66);
  EXPECT_EQ(instruction_length(prefixes.data(), prefixes.size()), 0);
}

TEST(HotSites, GiveWayWhereAMoveOfFiveBytesStandsBeforeThem) {
  EXPECT_TRUE(gives_way({0xb8, 0x27, 0, 0, 0}));
  EXPECT_TRUE(gives_way({0x4c, 0x8b, 0x4c, 0x24, 0x08}));
  EXPECT_FALSE(gives_way({0x31, 0xc0}));
}

TEST(HotSites, DoNotWhereTheFiveBytesAreTheEndOfALongerInstruction) {
  EXPECT_FALSE(gives_way({0xc7, 0x40, 0xb8, 1, 0, 0, 0}));        // movl $1, -0x48(%rax)
  EXPECT_FALSE(gives_way({0x41, 0xb8, 1, 0, 0, 0}));              // mov $1, %r8d
  EXPECT_FALSE(gives_way({0x41, 0x8b, 0xb8, 1, 0, 0, 0}));        // mov 1(%r8), %edi
  EXPECT_FALSE(gives_way({0x48, 0xbf, 1, 2, 3, 0xb8, 1, 0, 0, 0}));  // movabs $…, %rdi
}

TEST(HotSites, AreNearlyAllOfTheCLibrarys) {
  ASSERT_GE(library().size(), 10'000u) << "objdump gives nothing of the C library; install binutils";
  Bytes text;
  const uint64_t base = library().front().address;
  for (const Line& l : library()) {
    text.resize(l.address - base, 0x90);
    text.insert(text.end(), l.bytes.begin(), l.bytes.end());
  }
  size_t sites = 0, eligible = 0, given = 0;
  for (size_t i = 1; i < library().size(); i++) {
    const Line &l = library()[i], &before = library()[i - 1];
    if (l.bytes != Bytes{0x0f, 0x05}) continue;
    sites++;
    const bool fits = before.bytes.size() == 5 && (before.bytes[0] == 0xb8 || before.bytes == Bytes{0x4c, 0x8b, 0x4c, 0x24, 0x08});
    const bool gives = can_give_way(text.data(), text.size(), l.address - base);
    EXPECT_TRUE(fits || !gives) << std::hex << l.address;
    eligible += fits;
    given += gives;
  }
  EXPECT_GT(sites, 300u);
  EXPECT_GT(given * 100, eligible * 95) << given << " of " << eligible << " of " << sites;
  RecordProperty("given", static_cast<int>(given));
}

TEST(HotSites, AreCountedOneByOne) {
  dmi::host::HotSites sites;
  int hot = 0;
  for (int i = 0; i < 1000; i++) hot += sites.count(0x1000);
  EXPECT_EQ(hot, 1);
}
}  // namespace
