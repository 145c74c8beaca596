// What the kernel's own threads and processes cost.
//
//   process_baseline             measure
//   process_baseline --started   what the exec'd children run: ends at once
//
// spawn-1-pthread, spawn-1-fork-exec, spawn-1-posix-spawn   create one, wait until it has ended
// futex-round-trip-same-core, futex-round-trip-two-cores    two threads waking each other in turn
// syscall-native                                            getppid()
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "measure.h"

namespace {
using namespace dmi::bench;

void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  sched_setaffinity(0, sizeof set, &set);
}

void futex(std::atomic<int>& word, int op, int value) {
  syscall(SYS_futex, &word, op | FUTEX_PRIVATE_FLAG, value, nullptr, nullptr, 0);
}

// Each side waits for its own turn, then gives the turn to the other.
struct Turn {
  std::atomic<int> whose{0};
  void wait_for(int me) {
    for (int seen; (seen = whose.load()) != me;) futex(whose, FUTEX_WAIT, seen);
  }
  void give(int other) {
    whose.store(other);
    futex(whose, FUTEX_WAKE, 1);
  }
};

double futex_round_trip(int other_cpu, int rounds) {
  Turn turn;
  cpu_set_t before;
  sched_getaffinity(0, sizeof before, &before);
  pin(0);
  std::thread partner([&] {
    pin(other_cpu);
    for (int i = 0; i < rounds; i++) {
      turn.wait_for(1);
      turn.give(0);
    }
  });
  double result = time_each(rounds, [&] {
    turn.give(1);
    turn.wait_for(0);
  });
  partner.join();
  sched_setaffinity(0, sizeof before, &before);
  return result;
}

void* nothing(void*) { return nullptr; }
}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "--started") == 0) return 0;
  char self[4096] = {};
  if (readlink("/proc/self/exe", self, sizeof self - 1) < 0) return 1;
  char flag[] = "--started";
  char* child[] = {self, flag, nullptr};

  report("spawn-1-pthread", time_each(2'000, [] {
           pthread_t thread;
           pthread_create(&thread, nullptr, nothing, nullptr);
           pthread_join(thread, nullptr);
         }), "ns");
  report("spawn-1-fork-exec", time_each(500, [&] {
           pid_t pid = fork();
           if (pid == 0) {
             execv(self, child);
             _exit(127);
           }
           waitpid(pid, nullptr, 0);
         }), "ns");
  report("spawn-1-posix-spawn", time_each(500, [&] {
           pid_t pid;
           if (posix_spawn(&pid, self, nullptr, nullptr, child, environ) == 0) waitpid(pid, nullptr, 0);
         }), "ns");
  report("futex-round-trip-same-core", futex_round_trip(0, 20'000), "ns");
  if (std::thread::hardware_concurrency() > 1)
    report("futex-round-trip-two-cores", futex_round_trip(1, 20'000), "ns");
  report("syscall-native", time_batched(50, 10'000, [] { syscall(SYS_getppid); }), "ns");
}
