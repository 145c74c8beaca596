// Members whose peers send garbage: frames that were valid until bytes of them were changed, cut off, doubled or replaced.
// Whatever comes, the engine does not crash, does not touch memory that is not its own (this runs under sanitizers too) and
// answers anything it can recognise as impossible by hanging up.
#include <gtest/gtest.h>

#include "fuzz/memory_frames.h"

namespace dmi::memory::sim {
namespace {

constexpr uint64_t kHostileSeeds = 100;

TEST(HostilePeer, GarbageInValidFrames) {
  uint64_t spoilt = 0, hung_up = 0;
  for (uint64_t seed = 1; seed <= kHostileSeeds; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const auto r = run_hostile(seed);
    spoilt += r.spoilt;
    hung_up += r.hung_up;
  }
  EXPECT_GT(spoilt, 10 * kHostileSeeds);
  EXPECT_GT(hung_up, kHostileSeeds);
}

// A barrier message that claimed four thousand million arrivals had each of them answered.
TEST(HostilePeer, ACountThatCannotBe) { run_hostile(313); }

}  // namespace
}  // namespace dmi::memory::sim
