// memory_sim: runs the memory engine under the simulator.
//   memory_sim [--seed N] [--runs N] [--steps N] [--members N] [--threads N] [--pool BYTES] [--check 0|1|2] [--no-churn] [--describe]
// Exit: 0 all held, 1 a run failed (its seed and replay command are printed), 2 usage.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "run.h"

int main(int argc, char** argv) {
  dmi::memory::sim::Options o;
  uint64_t runs = 1;
  for (int i = 1; i < argc; i++) {
    const auto is = [&](const char* name) { return std::strcmp(argv[i], name) == 0; };
    if (is("--describe")) {
      o.describe = true;
      continue;
    }
    if (is("--no-churn")) {
      o.churn = false;
      continue;
    }
    if (i + 1 >= argc) {
      std::fprintf(stderr, "usage: memory_sim [--seed N] [--runs N] [--steps N] [--members N] [--threads N] [--pool BYTES] [--check 0|1|2] [--no-churn] [--describe]\n");
      return 2;
    }
    const auto value = std::strtoull(argv[i + 1], nullptr, 0);
    if (is("--seed")) o.seed = value;
    else if (is("--runs")) runs = value;
    else if (is("--steps")) o.steps = static_cast<int>(value);
    else if (is("--members")) o.members = static_cast<int>(value);
    else if (is("--threads")) o.threads = static_cast<int>(value);
    else if (is("--pool")) o.pool = static_cast<int64_t>(value);
    else if (is("--check")) o.check_level = static_cast<int>(value);
    else {
      std::fprintf(stderr, "memory_sim: unknown option %s\n", argv[i]);
      return 2;
    }
    i++;
  }
  for (uint64_t n = 0; n < runs; n++, o.seed++) {
    const auto r = dmi::memory::sim::run(o);
    std::printf("seed %llu: %llu steps, %llu messages, %llu operations (%llu hot), %llu moves, %llu joins, %llu drains, %llu deaths, %llu checked, %llu evicted, %llu swapped: %s\n",
                static_cast<unsigned long long>(o.seed), static_cast<unsigned long long>(r.steps), static_cast<unsigned long long>(r.delivered),
                static_cast<unsigned long long>(r.operations), static_cast<unsigned long long>(r.hot_hits), static_cast<unsigned long long>(r.moves),
                static_cast<unsigned long long>(r.joins), static_cast<unsigned long long>(r.drains), static_cast<unsigned long long>(r.deaths),
                static_cast<unsigned long long>(r.checked), static_cast<unsigned long long>(r.evicted), static_cast<unsigned long long>(r.swapped), r.failure.empty() ? "ok" : r.failure.c_str());
    std::fflush(stdout);
    if (!r.failure.empty()) return 1;
  }
}
