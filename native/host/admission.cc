#include "admission.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "platform.h"

namespace dmi::host {
namespace {

constexpr uint64_t kReserve = 32 << 20;  // bytes left for everything else
constexpr uint64_t kUnlimited = UINT64_MAX;

uint64_t less(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

uint64_t available() {
  FILE* f = fopen("/proc/meminfo", "r");
  if (!f) return kUnlimited;
  char line[128];
  unsigned long long kib = kUnlimited;
  while (fgets(line, sizeof line, f) && sscanf(line, "MemAvailable: %llu kB", &kib) != 1) {}
  fclose(f);
  return kib == kUnlimited ? kUnlimited : kib * 1024;
}

uint64_t number_in(const char* path) {
  uint64_t n = 0;
  return std::ifstream(path) >> n ? n : kUnlimited;  // "max", or no such file
}

// Of the control group that a container sees as its own. Files that were only read count as used there: it errs to the safe side.
uint64_t group_rest() {
  const uint64_t limit = number_in("/sys/fs/cgroup/memory.max");
  return limit == kUnlimited ? kUnlimited : less(limit, number_in("/sys/fs/cgroup/memory.current"));
}

uint64_t own_rest() {
  static const char* const given = getenv("DMI_HOST_MEMORY");
  if (!given) return kUnlimited;
  uint64_t pages = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return less(strtoull(given, nullptr, 10), resident * kPage);
}

}  // namespace

void Admission::Ticket::came(uint64_t bytes) {
  bytes = std::min(bytes, left_);
  left_ -= bytes;
  to_->promised_ -= bytes;
}

std::optional<Admission::Ticket> Admission::admit(uint64_t bytes, std::string& why) {
  std::lock_guard hold(mutex_);
  const uint64_t room = room_(), promised = promised_, left = less(room, promised);
  if (bytes > left) {
    why = "it has " + size_text(bytes) + ", and there is room for " + size_text(left);
    if (promised > 0) why += " (besides " + size_text(promised) + " of others on their way)";
    return {};
  }
  promised_ += bytes;
  return Ticket(*this, bytes);
}

uint64_t memory_room() { return less(std::min({available(), group_rest(), own_rest()}), kReserve); }

std::string size_text(uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(kUnits); unit++) value /= 1024;
  char text[32];
  snprintf(text, sizeof text, unit == 0 || value >= 100 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text;
}

}  // namespace dmi::host
