// Memory that processes of one machine share: a memfd whose end cannot move, so that no access within its size ever fails,
// found through /proc by whoever is told of it. That it is the one, a token in it has to tell.
#pragma once
#include <cstdint>

namespace dmi::memory {

enum class Backing {
  Holes,   // comes as it is used
  Memory,  // is there at once: a machine without memory says so here, not with SIGBUS later
};

// Both give a descriptor (closed on exec) that is the caller's, or -1.
int make_sealed(const char* name, uint64_t size, Backing backing);
// What process `pid` has as `fd`, if it is such memory of that size. access: O_RDONLY or O_RDWR.
int open_sealed(int32_t pid, int32_t fd, uint64_t size, int access);

}  // namespace dmi::memory
