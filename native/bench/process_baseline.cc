// What the kernel's own threads and processes cost.
//
//   process_baseline             measure
//   process_baseline --started   what the exec'd children run: ends at once
//
// spawn-1-pthread, spawn-1-fork-exec, spawn-1-posix-spawn   create one, wait until it has ended
// spawn-15-pthread, -vfork-exec, -posix-spawn, -fork-exec   create 15, wait until all have ended
// switch-futex-threads, switch-futex-processes              two waking each other in turn on one core: round trip
// futex-round-trip-two-cores                                the same on two
// pte-16x128MiB-pthread, pte-16x128MiB-processes            page tables of 16 that have all touched the same 128 MiB
// syscall-native                                            getppid()
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
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

void futex(std::atomic<int>& word, int op, int value) { syscall(SYS_futex, &word, op, value, nullptr, nullptr, 0); }

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

// Two that take turns: the caller, and whoever `start` runs the given loop in until it returns.
double round_trip(Turn& turn, int other_cpu, int rounds, const std::function<std::function<void()>(std::function<void()>)>& start) {
  cpu_set_t before;
  sched_getaffinity(0, sizeof before, &before);
  pin(0);
  const auto finish = start([&turn, other_cpu, rounds] {
    pin(other_cpu);
    for (int i = 0; i < rounds; i++) {
      turn.wait_for(1);
      turn.give(0);
    }
  });
  const double result = time_each(rounds, [&] {
    turn.give(1);
    turn.wait_for(0);
  });
  finish();
  sched_setaffinity(0, sizeof before, &before);
  return result;
}

std::function<void()> in_thread(std::function<void()> loop) {
  auto thread = std::make_shared<std::thread>(std::move(loop));
  return [thread] { thread->join(); };
}

std::function<void()> in_process(std::function<void()> loop) {
  const pid_t pid = fork();
  if (pid == 0) {
    loop();
    _exit(0);
  }
  return [pid] { waitpid(pid, nullptr, 0); };
}

template <class T>
T* shared_memory(size_t size) {
  void* p = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) std::exit(1);
  return static_cast<T*>(p);
}

// ---- 15 at once

constexpr int kMany = 15;

void many_processes(const std::function<pid_t()>& start) {
  pid_t pids[kMany];
  for (pid_t& pid : pids) pid = start();
  for (pid_t pid : pids) waitpid(pid, nullptr, 0);
}

// ---- page tables

constexpr size_t kShared = 128 << 20;
constexpr int kSharers = 16;

double own_page_tables() {  // bytes
  FILE* f = std::fopen("/proc/self/status", "r");
  char line[256];
  double kib = 0;
  while (f && std::fgets(line, sizeof line, f)) std::sscanf(line, "VmPTE: %lf kB", &kib);
  if (f) std::fclose(f);
  return kib * 1024;
}

void touch(const char* memory) {
  volatile char sum = 0;
  for (size_t at = 0; at < kShared; at += 4096) sum = static_cast<char>(sum + memory[at]);
}

double page_tables_of_threads() {
  char* memory = shared_memory<char>(kShared);
  std::memset(memory, 1, kShared);
  std::vector<std::thread> threads;
  std::atomic<int> done{0};
  std::atomic<bool> over{false};
  for (int i = 0; i < kSharers; i++)
    threads.emplace_back([&] {
      touch(memory);
      done++;
      while (!over) usleep(1000);
    });
  while (done < kSharers) usleep(1000);
  const double bytes = own_page_tables();
  over = true;
  for (auto& t : threads) t.join();
  munmap(memory, kShared);
  return bytes;
}

double page_tables_of_processes() {
  char* memory = shared_memory<char>(kShared);
  std::memset(memory, 1, kShared);
  auto* bytes = shared_memory<double>(4096);
  pid_t pids[kSharers];
  for (int i = 0; i < kSharers; i++) {
    pids[i] = fork();
    if (pids[i] == 0) {
      touch(memory);
      bytes[i] = own_page_tables();
      _exit(0);
    }
  }
  double sum = 0;
  for (int i = 0; i < kSharers; i++) {
    waitpid(pids[i], nullptr, 0);
    sum += bytes[i];
  }
  munmap(memory, kShared);
  return sum;
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
  report("spawn-15-pthread", time_each(300, [] {
           pthread_t threads[kMany];
           for (auto& thread : threads) pthread_create(&thread, nullptr, nothing, nullptr);
           for (auto& thread : threads) pthread_join(thread, nullptr);
         }), "ns");
  report("spawn-15-vfork-exec", time_each(60, [&] {
           many_processes([&] {
             const pid_t pid = vfork();
             if (pid == 0) {
               execv(self, child);
               _exit(127);
             }
             return pid;
           });
         }), "ns");
  report("spawn-15-posix-spawn", time_each(60, [&] {
           many_processes([&] {
             pid_t pid = -1;
             posix_spawn(&pid, self, nullptr, nullptr, child, environ);
             return pid;
           });
         }), "ns");
  report("spawn-15-fork-exec", time_each(60, [&] {
           many_processes([&] {
             const pid_t pid = fork();
             if (pid == 0) {
               execv(self, child);
               _exit(127);
             }
             return pid;
           });
         }), "ns");
  auto* turn = new (shared_memory<Turn>(sizeof(Turn))) Turn;
  report("switch-futex-threads", round_trip(*turn, 0, 20'000, in_thread), "ns");
  report("switch-futex-processes", round_trip(*turn, 0, 20'000, in_process), "ns");
  if (std::thread::hardware_concurrency() > 1)
    report("futex-round-trip-two-cores", round_trip(*turn, 1, 20'000, in_thread), "ns");
  report("pte-16x128MiB-pthread", page_tables_of_threads(), "B");
  report("pte-16x128MiB-processes", page_tables_of_processes(), "B");
  report("syscall-native", time_batched(50, 10'000, [] { syscall(SYS_getppid); }), "ns");
}
