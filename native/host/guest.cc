#include "guest.h"

#include <cstdio>

#include "warm.h"

namespace dmi::host {

Guest::Guest() = default;
Guest::~Guest() = default;

const char* name(State s) {
  switch (s) {
    case State::Ready: return "ready";
    case State::Running: return "running";
    case State::Blocked: return "blocked";
    case State::Sleeping: return "sleeping";
    case State::Offloaded: return "in a system call";
    case State::Paused: return "paused";
    case State::Done: return "done";
  }
  return "?";
}

std::string Guest::why_pinned() const {
  if (!pinned.empty()) return pinned;
  for (const auto& [start, area] : space.areas())
    if (area.shared_write) return "maps " + (area.file ? area.file->path : "a file") + " shared and writable";
  if (const std::string shares = Sharing::why_pinned(*this); !shares.empty()) return shares;
  return files.pinned();
}

void Guest::note_pins() {
  pins_changed = false;
  std::string why = why_pinned();
  lock.lock();
  last_pin.swap(why);
  lock.unlock();
}

std::string thread_name(ThreadKey key) { return std::to_string(key >> 32) + "." + std::to_string(key & 0xffffffff); }

ThreadKey parse_thread(const std::string& name) {
  unsigned a = 0, b = 0;
  char end = 0;
  if (sscanf(name.c_str(), "%u.%u%c", &a, &b, &end) != 2) return 0;
  return static_cast<ThreadKey>(a) << 32 | b;
}

}  // namespace dmi::host
