// The memory engine between two processes, over loopback TCP and, where names say same-machine, through shared memory, against what TCP itself and memcpy give in the same run.
//
//   memory_bench [--json] [NAME...]     only the named results
//
// One JSON line per result: {name, value, unit, baseline, baselineName}. Times in ns, rates in 1/s, streams in B/s.
//
// The parent measures; the child is the other member and does what it is told over a pipe. Round trips and their
// baseline alternate, as other load on the machine comes and goes.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <set>
#include <string>
#include <thread>

#include "bench_member.h"
#include "measure.h"
#include "memory/member.h"

namespace {
using namespace dmi::memory;
using namespace dmi::bench::member;
using dmi::bench::median;
using dmi::bench::now_ns;

// ---- two processes ------------------------------------------------------------------------------------------------
struct Command {
  enum What : int64_t { Own, Compute, Rest, Lock, Quit } what;
  int64_t addr, size;
};

void meet(Member& m, uint16_t port1, uint16_t port2) {
  ViewChange view;
  view.epoch = 1;
  view.full = true;
  view.members = {{1, MemberState::Active, "127.0.0.1", port1, 1, 1ll << 30, "one"},
                  {2, MemberState::Active, "127.0.0.1", port2, 1, 1ll << 30, "two"}};
  view.shards = {{0, kShards / 2, 1}, {kShards / 2, kShards / 2, 2}};
  m.apply(view);
}

[[noreturn]] void child(int pipe, bool share) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  auto m = start_member(2, share);
  uint16_t port = m->port(), other = 0;
  transfer(pipe, &port, sizeof port, true);
  transfer(pipe, &other, sizeof other, false);
  meet(*m, other, port);
  int64_t answer = 0;
  transfer(pipe, &answer, sizeof answer, true);
  std::atomic<bool> computing{false};
  std::vector<std::thread> workers;
  for (;;) {
    Command command;
    transfer(pipe, &command, sizeof command, false);
    if (command.what == Command::Own) {
      own(*m, command.addr, command.size);
    } else if (command.what == Command::Compute) {
      computing = true;
      for (unsigned i = 0; i < std::thread::hardware_concurrency(); i++)
        workers.emplace_back([&computing] {
          for (volatile double x = 1; computing.load(std::memory_order_relaxed);) x = x * 1.0000001 + 1e-9;
        });
    } else if (command.what == Command::Rest) {
      computing = false;
      for (auto& w : workers) w.join();
      workers.clear();
    } else if (command.what == Command::Lock) {
      transfer(pipe, &answer, sizeof answer, true);
      for (int64_t i = 0; i < command.size; i++) {
        sync(*m, OpKind::MutexLock, command.addr, 2);
        sync(*m, OpKind::MutexUnlock, command.addr, 2);
      }
    } else {
      m.reset();
      std::_Exit(0);
    }
    transfer(pipe, &answer, sizeof answer, true);
  }
}

// ---- raw TCP between two processes, with the options our transport sets ------------------------------------------------
struct RawPeer {
  int fd = -1;
  pid_t pid = 0;
  static void options(int fd) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
  }
  explicit RawPeer(const std::function<void(int)>& answer) {
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    if (bind(listener, reinterpret_cast<sockaddr*>(&at), size) != 0 || listen(listener, 1) != 0) die("listen");
    getsockname(listener, reinterpret_cast<sockaddr*>(&at), &size);
    pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      const int s = socket(AF_INET, SOCK_STREAM, 0);
      if (connect(s, reinterpret_cast<sockaddr*>(&at), size) != 0) std::_Exit(1);
      options(s);
      answer(s);
      std::_Exit(0);
    }
    fd = accept(listener, nullptr, nullptr);
    options(fd);
    close(listener);
  }
  ~RawPeer() {
    close(fd);
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
};
bool spin_recv(int fd, char* data, size_t size) {
  while (size > 0) {
    const ssize_t n = recv(fd, data, size, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return false;
    if (n < 0) continue;
    data += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}
double raw_round_trip(int rounds) {
  RawPeer peer([](int fd) {
    char data[8];
    while (spin_recv(fd, data, 8)) send(fd, data, 8, MSG_NOSIGNAL);
  });
  char data[8] = {};
  std::vector<double> times;
  // A spinning pair that has lost a core to others takes milliseconds for each round: then fewer have to do.
  const auto end = now_ns() + 500'000'000;
  for (int i = 0; i < rounds && now_ns() < end; i++) {
    const auto begin = now_ns();
    send(peer.fd, data, 8, MSG_NOSIGNAL);
    spin_recv(peer.fd, data, 8);
    times.push_back(static_cast<double>(now_ns() - begin));
  }
  return median(times);
}
constexpr int64_t kMiB = 1 << 20;
double raw_stream(double seconds) {
  static std::vector<char> data(kMiB);
  RawPeer peer([](int fd) {
    while (send(fd, data.data(), data.size(), MSG_NOSIGNAL) > 0) {}
  });
  int64_t bytes = 0;
  const auto begin = now_ns();
  do bytes += std::max<ssize_t>(0, recv(peer.fd, data.data(), data.size(), MSG_WAITALL));
  while (static_cast<double>(now_ns() - begin) < seconds * 1e9);
  return static_cast<double>(bytes) / static_cast<double>(now_ns() - begin) * 1e9;
}

// ---- the parent --------------------------------------------------------------------------------------------------------
class Bench {
 public:
  Bench(Member& m, int pipe, std::set<std::string> only) : m_(m), pipe_(pipe), only_(std::move(only)) {}

  void tell(Command::What what, int64_t addr = 0, int64_t size = 0) {
    Command command{what, addr, size};
    transfer(pipe_, &command, sizeof command, true);
    if (what != Command::Quit) hear();
  }
  void hear() {
    int64_t answer;
    transfer(pipe_, &answer, sizeof answer, false);
  }
  bool wanted(const char* name) const { return only_.empty() || only_.count(name); }
  static void report(const char* name, double value, const char* unit, double baseline, const char* baseline_name) {
    std::printf("{\"name\":\"%s\",\"value\":%.6g,\"unit\":\"%s\",\"baseline\":%.6g,\"baselineName\":\"%s\"}\n", name, value,
                unit, baseline, baseline_name);
    std::fflush(stdout);
  }
  double round_trip() {
    if (round_trip_ == 0) round_trip_ = raw_round_trip(20000);
    return round_trip_;
  }

  // A round trip against TCP's, taken in turns.
  void against_round_trip(const char* name, int rounds, int each, const std::function<void()>& body) {
    if (!wanted(name)) return;
    std::vector<double> ours, raw;
    for (int r = 0; r < rounds; r++) {
      raw.push_back(raw_round_trip(3000));
      for (int i = 0; i < 200; i++) body();
      ours.push_back(dmi::bench::time_each(each, body));
    }
    round_trip_ = median(raw);
    report(name, median(ours), "ns", round_trip_, "tcp-round-trip-spinning");
  }

  void local() {
    char big[4096], copy[4096] = {};
    const auto theirs = mmap(m_, 4096, 4), ours = mmap(m_, 4096, 1);
    tell(Command::Own, theirs, 4 * 4096);
    own(m_, ours, 4096);
    Slot slot;
    access(slot, OpKind::Read, Mode::Invalidate, theirs, big, 4096);
    run(m_, slot);
    const auto hit = [](int took) {
      if (!took) die("the fast path was not taken");
    };
    volatile char sink;
    if (wanted("cached-read-8B"))
      report("cached-read-8B", dmi::bench::time_batched(200, 5000, [&] { hit(m_.try_read(theirs + 8, 8, big, Mode::Invalidate)); }),
             "ns", dmi::bench::time_batched(200, 5000, [&] { memcpy(big, copy, 8); sink = big[0]; }), "memcpy-8B");
    if (wanted("cached-read-4KiB"))
      report("cached-read-4KiB", dmi::bench::time_batched(200, 2000, [&] { hit(m_.try_read(theirs, 4096, big, Mode::Invalidate)); }),
             "ns", dmi::bench::time_batched(200, 2000, [&] { memcpy(big, copy, 4096); sink = big[7]; asm volatile("" ::: "memory"); }),
             "memcpy-4KiB");
    if (wanted("exclusive-write-8B"))
      report("exclusive-write-8B", dmi::bench::time_batched(200, 5000, [&] { hit(m_.try_write(ours, 8, big, Mode::Exclusive)); }),
             "ns", dmi::bench::time_batched(200, 5000, [&] { memcpy(big, copy, 8); sink = big[0]; }), "memcpy-8B");
    int64_t fetched;
    std::atomic<int64_t> plain{0};
    if (wanted("fad-local"))
      report("fad-local", dmi::bench::time_batched(200, 5000, [&] { hit(m_.try_fad(ours, 1, &fetched)); }), "ns",
             dmi::bench::time_batched(200, 5000, [&] { plain.fetch_add(1); }), "atomic-fetch-add");
    (void)sink;
  }

  // Reads 8 B of a page that the peer owns.
  void get(int64_t page) {
    access(slot_, OpKind::Read, Mode::Get, page, &value_, 8);
    run(m_, slot_);
  }
  void time_get(const char* name, int64_t page) {
    get(page);
    against_round_trip(name, 7, 3000, [&] { get(page); });
  }

  void remote() {
    int64_t value = 0;
    const auto page = mmap(m_, 4096, 1);
    tell(Command::Own, page, 4096);
    Slot slot;
    time_get("remote-get-8B", page);
    against_round_trip("remote-put-8B", 7, 3000, [&] {
      access(slot, OpKind::Write, Mode::Put, page, &value, 8);
      run(m_, slot);
    });
    if (wanted("busy-target-get-8B")) {
      tell(Command::Compute);
      const double busy = dmi::bench::time_each(5000, [&] { get(page); });
      tell(Command::Rest);
      report("busy-target-get-8B", busy, "ns", round_trip(), "tcp-round-trip-spinning");
    }
    if (wanted("remote-get-8B-third-busy")) {  // and on two cores one of the members has to share
      const pid_t third = fork();
      if (third == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (volatile double x = 1;;) x = x * 1.0000001 + 1e-9;
      }
      for (int i = 0; i < 2000; i++) get(page);
      const double busy = dmi::bench::time_each(10000, [&] { get(page); });
      kill(third, SIGKILL);
      waitpid(third, nullptr, 0);
      report("remote-get-8B-third-busy", busy, "ns", round_trip(), "tcp-round-trip-spinning");
    }
    const auto rate = [&](const char* name, const std::function<void(Slot&)>& prepare) {
      if (!wanted(name)) return;
      constexpr int kInFlight = 256;
      std::vector<Slot> slots(kInFlight);
      std::vector<double> rates;
      for (int round = 0; round < 7; round++) {
        constexpr int kTotal = 40000;
        int started = 0, finished = 0;
        const auto begin = now_ns();
        for (auto& s : slots) {
          prepare(s);
          start(m_, s);
          started++;
        }
        for (size_t i = 0; finished < kTotal; i = (i + 1) % kInFlight) {
          auto& s = slots[i];
          wait(m_, s);
          finished++;
          if (started == kTotal) continue;
          prepare(s);
          start(m_, s);
          started++;
        }
        rates.push_back(kTotal / (static_cast<double>(now_ns() - begin) / 1e9));
      }
      report(name, median(rates), "1/s", 1e9 / round_trip(), "tcp-round-trips-per-second");
    };
    rate("put-8B-256-in-flight", [&](Slot& s) { access(s, OpKind::Write, Mode::Put, page + 64, &value, 8); });
    rate("fad-256-in-flight", [&](Slot& s) { fad(s, page + 128); });
  }

  static constexpr size_t kInFlight = 4;
  // Bytes per second of operations on kInFlight pages of 1 MiB, one on each at a time.
  double stream(OpKind kind, Mode mode, GlobalAddr pages, double seconds) {
    static std::vector<std::vector<char>> data(kInFlight, std::vector<char>(kMiB, 'x'));
    std::vector<Slot> slots(kInFlight);
    int64_t bytes = 0;
    const auto begin = now_ns();
    const auto go = [&](size_t i) {
      access(slots[i], kind, mode, pages + static_cast<int64_t>(i) * kMiB, data[i].data(), kMiB);
      start(m_, slots[i]);
    };
    for (size_t i = 0; i < kInFlight; i++) go(i);
    for (size_t i = 0; static_cast<double>(now_ns() - begin) < seconds * 1e9; i = (i + 1) % kInFlight) {
      wait(m_, slots[i]);
      bytes += kMiB;
      go(i);
    }
    const double rate = static_cast<double>(bytes) / static_cast<double>(now_ns() - begin) * 1e9;
    for (auto& s : slots) wait(m_, s);
    return rate;
  }

  void streams() {
    const bool get = wanted("stream-get-1MiB"), put = wanted("stream-put-1MiB");
    if (!get && !put) return;
    const auto pages = mmap(m_, kMiB, kInFlight);
    for (size_t i = 0; i < kInFlight; i++) tell(Command::Own, pages + static_cast<int64_t>(i) * kMiB, kMiB);
    std::vector<double> raw, gets, puts;
    for (int round = 0; round < 5; round++) {
      raw.push_back(raw_stream(0.3));
      if (get) gets.push_back(stream(OpKind::Read, Mode::Get, pages, 0.3));
      if (put) puts.push_back(stream(OpKind::Write, Mode::Put, pages, 0.3));
    }
    if (get) report("stream-get-1MiB", median(gets), "B/s", median(raw), "tcp-stream-1MiB");
    if (put) report("stream-put-1MiB", median(puts), "B/s", median(raw), "tcp-stream-1MiB");
  }

  void same_machine() {
    const auto page = mmap(m_, 4096, 1);
    tell(Command::Own, page, 4096);
    time_get("same-machine-get-8B", page);
    if (!wanted("same-machine-stream-1MiB")) return;
    const auto pages = mmap(m_, kMiB, kInFlight);
    for (size_t i = 0; i < kInFlight; i++) tell(Command::Own, pages + static_cast<int64_t>(i) * kMiB, kMiB);
    std::vector<char> from(kMiB, 'x'), to(kMiB);
    std::vector<double> rates, copies;
    for (int round = 0; round < 5; round++) {
      copies.push_back(kMiB * 1e9 / dmi::bench::time_each(200, [&] {
        memcpy(to.data(), from.data(), kMiB);
        asm volatile("" ::"r"(to.data()) : "memory");
      }));
      rates.push_back(stream(OpKind::Read, Mode::Get, pages, 0.3));
    }
    report("same-machine-stream-1MiB", median(rates), "B/s", median(copies), "memcpy-1MiB");
  }

  void mutexes() {
    // Objects are homed by address: look for one that is ours and one that is the other's.
    const auto pages = mmap(m_, 64, 256);
    GlobalAddr here = 0, there = 0;
    for (int i = 0; i < 256 && (!here || !there); i++) {
      const auto addr = pages + i * 64;
      const auto before = m_.stats().messages_sent;
      sync(m_, OpKind::MutexLock, addr, 1);
      sync(m_, OpKind::MutexUnlock, addr, 1);
      (m_.stats().messages_sent == before ? here : there) = addr;
    }
    if (!here || !there) die("no object at home or none away");
    Slot slot;
    const auto once = [&](OpKind kind, GlobalAddr addr) {
      slot.op = Op{};
      slot.op.kind = kind;
      slot.op.addr = addr;
      slot.op.thread = 1;
      run(m_, slot);
    };
    if (wanted("mutex-local")) {
      std::atomic<int> word{0};
      const auto lock = [&] {
        once(OpKind::MutexLock, here);
        once(OpKind::MutexUnlock, here);
      };
      report("mutex-local", dmi::bench::time_batched(100, 1000, lock) / 2, "ns",
             dmi::bench::time_batched(100, 5000, [&] { int zero = 0; word.compare_exchange_strong(zero, 1); word.store(0); }) / 2,
             "atomic-lock");
    }
    if (wanted("mutex-remote")) {
      std::vector<double> ours, raw;
      for (int r = 0; r < 7; r++) {
        raw.push_back(raw_round_trip(3000));
        std::vector<double> times;
        for (int i = 0; i < 2000; i++) {
          const auto begin = now_ns();
          once(OpKind::MutexLock, there);
          times.push_back(static_cast<double>(now_ns() - begin));
          once(OpKind::MutexUnlock, there);
        }
        ours.push_back(median(times));
      }
      round_trip_ = median(raw);
      report("mutex-remote", median(ours), "ns", round_trip_, "tcp-round-trip-spinning");
    }
    if (wanted("mutex-handover")) {
      constexpr int kTimes = 4000;
      Command command{Command::Lock, here, kTimes};
      std::vector<double> times;
      for (int r = 0; r < 5; r++) {
        transfer(pipe_, &command, sizeof command, true);
        hear();
        const auto begin = now_ns();
        for (int i = 0; i < kTimes; i++) {
          once(OpKind::MutexLock, here);
          once(OpKind::MutexUnlock, here);
        }
        hear();
        times.push_back(static_cast<double>(now_ns() - begin) / (2.0 * kTimes));
      }
      report("mutex-handover", median(times), "ns", round_trip(), "tcp-round-trip-spinning");
    }
  }

  void groups() {
    if (!wanted("group-read-10k")) return;
    constexpr size_t kPieces = 10000;
    const auto pages = mmap(m_, 1 << 16, 16);
    for (int i = 0; i < 16; i++) tell(Command::Own, pages + (i << 16), 1 << 16);
    std::vector<int64_t> to(kPieces);
    std::vector<Piece> pieces(kPieces);
    for (size_t i = 0; i < kPieces; i++)
      pieces[i] = {pages + static_cast<int64_t>(i * 104), 8, reinterpret_cast<std::byte*>(&to[i])};
    Slot slot;
    const double ns = dmi::bench::time_each(300, [&] {
      slot.op = Op{};
      slot.op.kind = OpKind::Read;
      slot.op.mode = Mode::Get;
      slot.op.pieces = pieces;
      run(m_, slot);
    });
    report("group-read-10k", kPieces / ns * 1e9, "1/s", 1e9 / round_trip(), "tcp-round-trips-per-second");
  }

 private:
  Member& m_;
  const int pipe_;
  const std::set<std::string> only_;
  double round_trip_ = 0;
  Slot slot_;          // of get()
  int64_t value_ = 0;
};

// Two members of a job in two processes, this one measuring.
void with_peer(const std::set<std::string>& only, bool share, const std::function<void(Bench&)>& measure) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) die("socketpair");
  const pid_t pid = fork();
  if (pid == 0) {
    close(pair[0]);
    child(pair[1], share);
  }
  close(pair[1]);
  {
    auto m = start_member(1, share);
    uint16_t port = m->port(), other = 0;
    transfer(pair[0], &other, sizeof other, false);
    transfer(pair[0], &port, sizeof port, true);
    meet(*m, port, other);
    Bench bench(*m, pair[0], only);
    bench.hear();
    measure(bench);
    bench.tell(Command::Quit);
  }
  close(pair[0]);
  waitpid(pid, nullptr, 0);
}

// Four members that know each other, in a process each, and have nothing to do: the share of a core that all of them use.
void rest_of_four() {
  constexpr MemberId kMembers = 4;
  constexpr int kSeconds = 3;
  int pipes[kMembers][2];
  std::vector<pid_t> pids;
  for (auto& pair : pipes)
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) die("socketpair");
  for (MemberId id = 1; id <= kMembers; id++) {
    const pid_t pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      const int pipe = pipes[id - 1][1];
      auto m = start_member(id, false);
      uint16_t port = m->port();
      transfer(pipe, &port, sizeof port, true);
      ViewChange view;
      view.epoch = 1;
      view.full = true;
      for (MemberId other = 1; other <= kMembers; other++) {
        transfer(pipe, &port, sizeof port, false);
        view.members.push_back({other, MemberState::Active, "127.0.0.1", port, 1, 1ll << 30, std::to_string(other)});
        const auto share = kShards / static_cast<uint32_t>(kMembers);
        view.shards.push_back({static_cast<uint32_t>(other - 1) * share, share, other});
      }
      m->apply(view);
      const auto pages = mmap(*m, 64, 256);  // so that all of them talk with all
      for (int i = 0; i < 256; i++) sync(*m, OpKind::MutexTryLock, pages + i * 64, 1);
      std::this_thread::sleep_for(std::chrono::seconds(2));
      rusage before{}, after{};
      getrusage(RUSAGE_SELF, &before);
      std::this_thread::sleep_for(std::chrono::seconds(kSeconds));
      getrusage(RUSAGE_SELF, &after);
      const auto us = [](const timeval& t) { return static_cast<int64_t>(t.tv_sec) * 1'000'000 + t.tv_usec; };
      int64_t used = us(after.ru_utime) + us(after.ru_stime) - us(before.ru_utime) - us(before.ru_stime);
      ending = true;
      transfer(pipe, &used, sizeof used, true);
      transfer(pipe, &used, sizeof used, false);  // when all are done
      std::_Exit(0);
    }
    pids.push_back(pid);
  }
  uint16_t ports[kMembers];
  for (int i = 0; i < kMembers; i++) transfer(pipes[i][0], &ports[i], sizeof ports[i], false);
  for (auto& pair : pipes) transfer(pair[0], ports, sizeof ports, true);
  int64_t sum = 0, used = 0;
  for (auto& pair : pipes) {
    transfer(pair[0], &used, sizeof used, false);
    sum += used;
  }
  for (auto& pair : pipes) transfer(pair[0], &used, sizeof used, true);
  for (const pid_t pid : pids) waitpid(pid, nullptr, 0);
  std::printf("{\"name\":\"idle-cpu-4-members\",\"value\":%.6g,\"unit\":\"cores\"}\n", static_cast<double>(sum) / (kSeconds * 1e6));
}

}  // namespace

int main(int argc, char** argv) {
  std::set<std::string> only;
  for (int i = 1; i < argc; i++)
    if (strcmp(argv[i], "--json") != 0) only.insert(argv[i]);
  with_peer(only, false, [](Bench& bench) {
    bench.local();
    bench.remote();
    bench.streams();
    bench.mutexes();
    bench.groups();
  });
  with_peer(only, true, [](Bench& bench) { bench.same_machine(); });
  if (only.empty() || only.count("idle-cpu-4-members")) rest_of_four();
}
