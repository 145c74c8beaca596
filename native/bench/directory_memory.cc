// What a home keeps for each page that somebody has touched: bytes of heap per entry of its directory, of a million pages
// spread over the shards as page keys spread.
#include <malloc.h>

#include "../memory/core/engine_impl.h"
#include "measure.h"

int main() {
  using namespace dmi::memory;
  constexpr uint64_t kPages = 1'000'000;
  static ShardContent shards[kShards];
  const auto before = mallinfo2().uordblks;
  for (uint64_t i = 0; i < kPages; i++) {
    const auto key = key_of(1, i);
    shards[shard_of_page(key)].pages.try_emplace(key).first->second.owner = 1;
  }
  dmi::bench::report("directory-memory-per-page", static_cast<double>(mallinfo2().uordblks - before) / kPages, "B");
  _exit(0); // taking it down is not of interest
}
