#include "random_address.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "error.h"
#include "platform.h"

namespace dmi::host {

int reserve_at(uint64_t base, uint64_t size) {
  void* p = mmap(reinterpret_cast<void*>(base), size, PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (p == MAP_FAILED) return errno;
  if (p != reinterpret_cast<void*>(base)) {  // a kernel before 4.17 takes the flag for a hint
    munmap(p, size);
    return EEXIST;
  }
  return 0;
}

uint64_t round_up_power_of_two(uint64_t v) {
  uint64_t p = kPage;
  while (p < v) p <<= 1;
  return p;
}

uint64_t reserve_random(const Zone& zone, uint64_t size, uint64_t align) {
  if (zone.high - zone.low < size)
    throw Error("no-address", "a region of " + std::to_string(size) + " bytes does not fit into the thread zone of " +
                                  std::to_string(zone.high - zone.low) + " bytes: lower --thread-memory");
  // Multiples of align that leave room for size; a zone smaller than align still has its own start.
  const uint64_t first = (zone.low + align - 1) / align;
  const uint64_t last = (zone.high - size) / align;
  const uint64_t slots = last >= first ? last - first + 1 : 0;
  int error = 0;
  for (int draw = 0; draw < 1000; draw++) {
    uint64_t r = 0;
    if (getrandom(&r, sizeof r, 0) != sizeof r) continue;
    const uint64_t base = slots ? (first + r % slots) * align : zone.low;
    error = reserve_at(base, size);
    if (error == 0) return base;
    if (error != EEXIST) break;
  }
  if (error == ENOMEM)
    throw Error("no-memory",
                "no room for one more mapping of " + std::to_string(size) +
                    " bytes in this host: raise vm.max_map_count (sysctl) or run fewer threads per host");
  throw Error("no-address", "no free place for a region of " + std::to_string(size) +
                                " bytes in the thread zone: lower --thread-memory or run fewer threads per host");
}

}  // namespace dmi::host
