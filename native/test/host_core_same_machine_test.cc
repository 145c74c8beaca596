// A destination that reads pages out of the source's memory: everything that is there comes, what is not is named, and nothing is
// taken from a process that is not the source.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "host/error.h"
#include "host/platform.h"
#include "host/same_machine.h"

namespace dmi::host {
namespace {

constexpr uint64_t kBase = 0x2000'0000'0000;

uint64_t word(uint64_t at) { return at * 0x9e3779b97f4a7c15u; }

char* map(uint64_t size) {
  return static_cast<char*>(mmap(reinterpret_cast<void*>(kBase), size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0));
}

// A process with its own pages at kBase, some of them gone; its beacon is what this process had when it was forked, but for the pid.
class Source {
 public:
  Source(uint64_t size, const std::vector<uint64_t>& holes) : beacon_(*Beacon::light()) {
    number_ = beacon_.number;
    beacon_.at = reinterpret_cast<uint64_t>(number_.data());
    int ready[2];
    if (pipe(ready) != 0) abort();
    pid_ = fork();
    if (pid_ == 0) {
      map(size);
      for (uint64_t at = kBase; at < kBase + size; at += 8) *reinterpret_cast<uint64_t*>(at) = word(at);
      for (const uint64_t page : holes) mmap(reinterpret_cast<void*>(kBase + page * kPage), kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
      if (write(ready[1], "r", 1) != 1) _exit(1);
      while (true) pause();
    }
    char r;
    if (read(ready[0], &r, 1) != 1) abort();
    close(ready[0]), close(ready[1]);
    beacon_.pid = pid_;
  }
  ~Source() { end(); }
  void end() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  Beacon& beacon() { return beacon_; }

 private:
  Beacon beacon_;
  std::array<uint8_t, 16> number_{};
  int pid_ = 0;
};

class SameMachine : public testing::TestWithParam<uint64_t> {};

TEST_P(SameMachine, BringsEverythingThatIsThereAndNamesTheRest) {
  const uint64_t pages = GetParam(), size = pages * kPage;
  const std::vector<uint64_t> holes = pages > 3 ? std::vector<uint64_t>{0, pages / 2, pages / 2 + 1, pages - 1} : std::vector<uint64_t>{};
  Source source(size, holes);
  map(size);
  if (pages > 8) *reinterpret_cast<char*>(kBase + 5 * kPage) = 1;  // a page that came before
  const auto memory = SourceMemory::reach(source.beacon());
  ASSERT_TRUE(memory);
  std::vector<host::Run> missed;
  memory->copy({kBase, size}, missed);
  std::vector<bool> gone(pages);
  for (const host::Run& m : missed)
    for (uint64_t at = m.start; at < m.start + m.size; at += kPage) gone[(at - kBase) / kPage] = true;
  for (uint64_t page = 0; page < pages; page++) {
    EXPECT_EQ(gone[page], std::find(holes.begin(), holes.end(), page) != holes.end()) << page;
    if (!gone[page])
      for (uint64_t at = kBase + page * kPage; at < kBase + (page + 1) * kPage; at += 8) ASSERT_EQ(*reinterpret_cast<uint64_t*>(at), word(at));
  }
  // A second time over what is there.
  missed.clear();
  if (holes.empty()) {
    memset(reinterpret_cast<void*>(kBase), 0, size);
    memory->copy({kBase, size}, missed);
    EXPECT_TRUE(missed.empty());
    EXPECT_EQ(*reinterpret_cast<uint64_t*>(kBase + size - 8), word(kBase + size - 8));
  }
  munmap(reinterpret_cast<void*>(kBase), size);
}
INSTANTIATE_TEST_SUITE_P(Runs, SameMachine, testing::Values(1, 3, 10, 255, 256, 300, 1024, 2600, 4096, 20000));

TEST(SameMachineOnly, NobodyElseIsTakenForTheSource) {
  Source source(kPage, {});
  Beacon other = source.beacon();
  other.number[3] ^= 1;
  EXPECT_FALSE(SourceMemory::reach(other));
  other = source.beacon();
  other.at = 8;  // nothing there
  EXPECT_FALSE(SourceMemory::reach(other));
  for (const int pid : {0, -1, 1 << 29, static_cast<int>(getpid())}) {
    other = source.beacon();
    other.pid = pid;
    EXPECT_FALSE(SourceMemory::reach(other)) << pid;
  }
  EXPECT_TRUE(SourceMemory::reach(source.beacon()));
}

TEST(SameMachineOnly, ASourceThatHasEndedIsNoticed) {
  Source source(kPage, {});
  map(kPage);
  const auto memory = SourceMemory::reach(source.beacon());
  ASSERT_TRUE(memory);
  source.end();
  std::vector<host::Run> missed;
  try {
    memory->copy({kBase, kPage}, missed);
    FAIL() << "read from nobody";
  } catch (const Error& e) {
    EXPECT_EQ(e.code, "unreachable");
  }
  munmap(reinterpret_cast<void*>(kBase), kPage);
}

}  // namespace
}  // namespace dmi::host
