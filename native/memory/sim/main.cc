// memory_sim: runs the memory engine under the simulator.
//   memory_sim [--seed N] [--runs N] [--steps N] [--members N] [--threads N] [--pool BYTES] [--check 0|1|2] [--slow] [--no-churn] [--describe]
//   memory_sim --soak SECONDS [--seed N] [--pool BYTES]      one scenario (run.h) after another, from that seed on
// Exit: 0 all held, 1 a run failed (its seed and replay command are printed), 2 usage.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "run.h"

namespace {
using namespace dmi::memory::sim;

constexpr const char* kUsage =
    "usage: memory_sim [--seed N] [--runs N] [--steps N] [--members N] [--threads N] [--pool BYTES] [--check 0|1|2] [--slow] [--no-churn] [--describe]\n"
    "       memory_sim --soak SECONDS [--seed N] [--pool BYTES]\n";

using ull = unsigned long long;

void print(const Options& o, const Report& r) {
  std::printf("seed %llu: %d members, %llu steps, %llu messages, %llu operations (%llu hot), %llu moves, %llu joins, %llu drains, %llu deaths, %llu slowed, "
              "%llu looks, %llu rests, %llu checked, %llu evicted, %llu swapped: %s\n",
              ull(o.seed), o.members, ull(r.steps), ull(r.delivered), ull(r.operations), ull(r.hot_hits), ull(r.moves), ull(r.joins), ull(r.drains), ull(r.deaths),
              ull(r.slowed), ull(r.looks), ull(r.rests), ull(r.checked), ull(r.evicted), ull(r.swapped), r.failure.empty() ? "ok" : r.failure.c_str());
  std::fflush(stdout);
}

int soak(uint64_t seed, double seconds, int64_t pool) {
  const auto start = std::chrono::steady_clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  ull runs = 0, steps = 0, operations = 0;
  double told = 0;  // seconds
  const auto tell = [&] {
    std::printf("%.0f s: %llu runs to seed %llu, %llu steps, %llu operations, all held\n", elapsed(), runs, ull(seed - 1), steps, operations);
    std::fflush(stdout);
  };
  for (; elapsed() < seconds; seed++) {
    auto o = scenario(seed);
    if (pool > 0) o.pool = pool;
    const auto r = run(o);
    if (!r.failure.empty()) return print(o, r), 1;
    runs++;
    steps += r.steps;
    operations += r.operations;
    if (elapsed() - told >= 30) {
      told = elapsed();
      tell();
    }
  }
  tell();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  uint64_t runs = 1;
  double soak_seconds = 0;
  int64_t pool = 0;
  for (int i = 1; i < argc; i++) {
    const auto is = [&](const char* name) { return std::strcmp(argv[i], name) == 0; };
    if (is("--describe") || is("--no-churn") || is("--slow")) {
      if (is("--describe")) o.describe = true;
      if (is("--no-churn")) o.churn = false;
      if (is("--slow")) o.slow = true;
      continue;
    }
    if (is("--help")) {
      std::fputs(kUsage, stdout);
      return 0;
    }
    if (i + 1 >= argc) {
      std::fputs(kUsage, stderr);
      return 2;
    }
    const auto value = std::strtoull(argv[i + 1], nullptr, 0);
    if (is("--seed")) o.seed = value;
    else if (is("--runs")) runs = value;
    else if (is("--steps")) o.steps = static_cast<int>(value);
    else if (is("--members")) o.members = static_cast<int>(value);
    else if (is("--threads")) o.threads = static_cast<int>(value);
    else if (is("--pool")) o.pool = pool = static_cast<int64_t>(value);
    else if (is("--check")) o.check_level = static_cast<int>(value);
    else if (is("--soak")) soak_seconds = std::strtod(argv[i + 1], nullptr);
    else {
      std::fprintf(stderr, "memory_sim: unknown option %s\n%s", argv[i], kUsage);
      return 2;
    }
    i++;
  }
  if (soak_seconds > 0) return soak(o.seed, soak_seconds, pool);
  for (uint64_t n = 0; n < runs; n++, o.seed++) {
    const auto r = run(o);
    print(o, r);
    if (!r.failure.empty()) return 1;
  }
}
