// dmi-sim ADDRESS-BITS PROCESSES BYTES PIECES ALIGN TRIALS SEED THREADS
//
// One JSON line per trial: address spaces needed, conflicting pairs, seconds. For `dmi sim random-address`, which checks and
// explains; see docs/random-address.md.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "colours.h"

int main(int argc, char** argv) {
  if (argc != 9) {
    std::fprintf(stderr, "dmi-sim is run by: dmi sim random-address\n");
    return 2;
  }
  const auto number = [&](int i) { return std::strtoull(argv[i], nullptr, 10); };
  dmi::sim::Layout layout;
  layout.address_bits = static_cast<int>(number(1));
  layout.processes = number(2);
  layout.bytes = number(3);
  layout.pieces = number(4);
  layout.align = number(5);
  const int threads = static_cast<int>(number(8));
  try {
    for (uint64_t trial = 0; trial < number(6); trial++) {
      const auto start = std::chrono::steady_clock::now();
      const dmi::sim::Conflicts conflicts = dmi::sim::draw(layout, number(7) + trial, threads < 1 ? 1 : threads);
      const uint64_t spaces = dmi::sim::address_spaces(conflicts);
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
      std::printf("{\"spaces\":%llu,\"pairs\":%llu,\"seconds\":%.3f}\n", static_cast<unsigned long long>(spaces),
                  static_cast<unsigned long long>(dmi::sim::pairs(conflicts)), took.count());
      std::fflush(stdout);
    }
  } catch (const std::invalid_argument& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "not enough memory for this many processes\n");
    return 1;
  }
}
