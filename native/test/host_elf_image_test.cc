// Corrupt and hostile ELF files: an Error that names the file, never a crash, and what is accepted keeps its promises.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <random>

#include "host/elf_image.h"
#include "host/error.h"
#include "host/platform.h"

namespace dmi::host {
namespace {

// The start of this very test: a real program, whose headers are all there.
class Mutant {
 public:
  Mutant() : fd_(memfd_create("mutant", 0)), path_("/proc/self/fd/" + std::to_string(fd_)) {
    const int self = open("/proc/self/exe", O_RDONLY);
    struct stat st;
    if (self < 0 || fstat(self, &st) != 0) abort();
    size_ = static_cast<uint64_t>(st.st_size);
    if (pread(self, head_, sizeof head_, 0) != static_cast<ssize_t>(sizeof head_)) abort();
    close(self);
    restore();
  }
  ~Mutant() { close(fd_); }
  void restore() {
    if (ftruncate(fd_, static_cast<off_t>(size_)) != 0) abort();
    write_at(0, head_, sizeof head_);
  }
  void write_at(uint64_t at, const void* data, size_t size) {
    if (pwrite(fd_, data, size, static_cast<off_t>(at)) != static_cast<ssize_t>(size)) abort();
  }
  void cut(uint64_t size) {
    if (ftruncate(fd_, static_cast<off_t>(size)) != 0) abort();
  }
  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }
  static constexpr size_t kHead = 2048;

 private:
  int fd_;
  std::string path_;
  uint64_t size_ = 0;
  char head_[kHead];
};

// True: accepted, and everything about it holds.
bool opens(const Mutant& m) {
  try {
    const auto e = open_elf("the-program", m.path(), "program");
    EXPECT_FALSE(e->loads.empty());
    uint64_t end = 0;
    for (const Elf64_Phdr& p : e->loads) {
      EXPECT_GE(page_down(p.p_vaddr), end);
      EXPECT_LE(p.p_filesz, p.p_memsz);
      EXPECT_LE(p.p_offset + p.p_filesz, e->file_size);
      EXPECT_EQ(p.p_offset % kPage, p.p_vaddr % kPage);
      end = page_up(p.p_vaddr + p.p_memsz);
    }
    EXPECT_EQ(end, e->span);
    EXPECT_LT(e->entry, e->span);
    EXPECT_LE(e->interp.size(), 4096u);
    EXPECT_LT(e->phdr_vaddr, e->span);
    return true;
  } catch (const Error& error) {
    EXPECT_EQ(error.code, "bad-program");
    EXPECT_NE(std::string(error.what()).find("the-program"), std::string::npos) << error.what();
    return false;
  }
}

TEST(ElfImage, ARealProgramOpens) {
  Mutant m;
  EXPECT_TRUE(opens(m));
}

TEST(ElfImage, AnyMutationIsRefusedOrHarmless) {
  const char* given = getenv("DMI_TEST_SEED");
  const uint64_t seed = given ? strtoull(given, nullptr, 0) : std::random_device{}();
  SCOPED_TRACE("DMI_TEST_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  Mutant m;
  int accepted = 0;
  const uint64_t special[] = {0, 1, ~0ull, 1ull << 63, 0x7fffffffffffffff, 0xfffffffffffff000, 4096, 4095, 1ull << 36, 0xffff, 0xffffffff};
  for (int i = 0; i < 20000; i++) {
    for (uint64_t n = 1 + random() % 4; n > 0; n--) {
      const uint64_t value = random() % 2 ? special[random() % std::size(special)] : random();
      const size_t size = 1u << random() % 4, at = random() % 3 ? random() % (64 + 56 * 14 - 8) : random() % (Mutant::kHead - 8);
      m.write_at(at & ~(size - 1), &value, size);
    }
    if (random() % 10 == 0) m.cut(random() % m.size());
    accepted += opens(m);
    if (testing::Test::HasFailure()) FAIL() << "mutation " << i;
    m.restore();
  }
  EXPECT_GT(accepted, 0);
}

TEST(ElfImage, CutAnywhereItIsRefused) {
  Mutant m;
  for (uint64_t size = 0; size < Mutant::kHead; size += 7) {
    m.cut(size);
    EXPECT_FALSE(opens(m)) << size;
    m.restore();
  }
}

TEST(ElfImage, WhatIsNoFileIsRefusedAtOnce) {
  for (const char* path : {"/", "/dev/null", "/dev/zero", "/nowhere/at/all", ""}) EXPECT_THROW(open_elf(path, path, "program"), Error) << path;
  const std::string pipe = testing::TempDir() + "elf-pipe-" + std::to_string(getpid());
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THROW(open_elf(pipe, pipe, "program"), Error);
  unlink(pipe.c_str());
}

}  // namespace
}  // namespace dmi::host
