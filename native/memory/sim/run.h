// One simulated job: virtual threads run scripts of every kind of operation while members join, drain and die, and
// threads move, waiting or not. Everything is decided by the seed.
#pragma once
#include <functional>
#include <string>

#include "world.h"

namespace dmi::memory::sim {

constexpr int64_t kAmplePool = 1 << 30;

struct Options {
  uint64_t seed = 1;
  int steps = 20'000;     // scheduler decisions before the job is brought to its end
  int members = 4;        // at the start; later between half and twice as many
  int threads = 10;
  int check_level = 1;    // of Engine::check after every event
  bool describe = false;  // add every member's state to a failure
  bool churn = true;      // members join, drain and die
  bool slow = false;      // now and then a member is slow for a while
  int64_t pool = kAmplePool; // bytes each member offers; a few pages' worth makes them evict and swap all the time
  // Looks at (and may spoil) every frame before it is delivered: how bugs are planted. Returns false to drop it.
  std::function<bool(World&, MemberId from, MemberId to, Frame&)> tamper;
};

struct Report {
  std::string failure;    // empty: everything held
  uint64_t steps = 0, delivered = 0, operations = 0, hot_hits = 0, moves = 0, joins = 0, drains = 0, deaths = 0, slowed = 0, looks = 0, rests = 0, checked = 0, evicted = 0, swapped = 0;
};

Report run(const Options& options);
std::string replay_command(const Options& options);

// What a seed stands for when nothing else is given: from 2 to 200 members, large pools or small ones, slow members or not.
Options scenario(uint64_t seed);

}  // namespace dmi::memory::sim
