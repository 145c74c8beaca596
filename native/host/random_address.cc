#include "random_address.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/random.h>

#include <mutex>

#include "error.h"
#include "platform.h"

namespace dmi::host {
namespace {

constexpr uint64_t kTogether = 16;     // regions of a group
constexpr uint64_t kRoom = 2;          // places from one to the next
constexpr uint64_t kGroups = 1024;     // groups that a zone must have room for

uint64_t random_below(uint64_t end) {
  uint64_t r = 0;
  while (getrandom(&r, sizeof r, 0) != sizeof r) {}
  return r % end;
}

// Places for the regions of this host, one after the other.
class Group {
 public:
  uint64_t next(const Zone& zone, uint64_t align) {
    const uint64_t span = kTogether * kRoom * align, first = (zone.low + align - 1) / align;
    std::lock_guard hold(mutex_);
    if (left_ == 0 || align != align_ || next_ < zone.low || next_ + align > zone.high) {
      next_ = (first + random_below((zone.high - span) / align - first)) * align;
      left_ = kTogether;
      align_ = align;
    }
    left_--;
    const uint64_t place = next_;
    next_ += kRoom * align;
    return place;
  }

 private:
  std::mutex mutex_;
  uint64_t next_ = 0, align_ = 0, left_ = 0;
};

}  // namespace

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
    const uint64_t base = slots ? (first + random_below(slots)) * align : zone.low;
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

uint64_t reserve_near(const Zone& zone, uint64_t size, uint64_t align) {
  static Group group;
  const bool room = (zone.high - zone.low) / (kTogether * kRoom * align) >= kGroups;
  for (int tries = 0; room && tries < 100; tries++) {
    const uint64_t base = group.next(zone, align);
    const int error = reserve_at(base, size);
    if (error == 0) return base;
    if (error != EEXIST) break;
  }
  return reserve_random(zone, size, align);  // which says why it cannot be
}

}  // namespace dmi::host
