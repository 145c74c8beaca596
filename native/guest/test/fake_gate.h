// A gate of plain memory, for the logic of libdmi alone: one process, one thread, no coherence. Nothing in it stands for
// the host; what really happens is tested by the programs of test/dmi.
#pragma once
#include <cstdint>

#include "gate/gate.h"

namespace fake {

struct Counts {
  int64_t ops = 0;         // through DMI_G_OP
  int64_t pieces = 0;      // of READ and WRITE operations
  int64_t read_bytes = 0;  // of READ operations
  int64_t fast = 0;        // fast paths taken
};

// Maps the gate page (once per process) and forgets all global memory.
void reset();
Counts& counts();
// How often DMI_G_CHECK says "not yet" for an asynchronous operation started from now on.
void set_delay(int checks);
// Whether the fast paths serve anything.
void set_fast(bool on);
int64_t mappings();  // live ones

}  // namespace fake
