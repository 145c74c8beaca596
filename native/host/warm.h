// Regions of threads that have ended, made ready for the next ones.
//
// What a program does before its first constructor is the same for every instance: map the image, relocate it, ask the
// processor what it can do, set up thread-local storage. libdmi says when that is over (DMI_G_READY); what the thread's
// writable pages hold then is kept. When the thread ends its region is brought back to that state, whatever it has done since,
// and the next thread starts in it from there, at the same addresses.
//
//   start -> DMI_G_READY (snapshot) -> constructors, DMI_thread, exit -> restored -> pool -> next thread, from DMI_G_READY
//
// Nothing of one thread is left to the next: a page that the snapshot does not have is zeroed or given back to the kernel, all
// other memory is unmapped, and descriptors, directory and identity are new. Whatever cannot be undone for certain (a changed
// protection, memory unmapped from the program itself, a move) ends the region with its thread.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "address_space.h"
#include "guest.h"
#include "hot_sites.h"
#include "pages.h"

namespace dmi::host {

// What the writable pages of a thread held when it was ready.
class Snapshot {
 public:
  Snapshot(const Guest& g, std::atomic<int>& places);  // the guest is at rest; throws Error where its pages cannot be told
  ~Snapshot() { places_--; }
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

  // Brings the memory back. False: it cannot be done for certain; the region is of no use any more.
  bool restore(AddressSpace& space) const;
  const GuestSignals& signals() const { return signals_; }

 private:
  std::atomic<int>& places_;
  GuestSignals signals_;
  std::vector<Run> runs_;
  std::vector<std::byte> bytes_;  // of the runs, one after the other
};

struct WarmRegion {
  AddressSpace space;
  std::unique_ptr<Snapshot> snapshot;
  HotSites sites;        // calls counted so far: sites that were rewritten stay so
  uint64_t sp = 0;       // where the guest stands
  uint64_t process_at = 0;  // where its C library keeps the thread's number
  uint64_t stack = 0;    // bytes
};

class WarmPool {
 public:
  // Any thread. The guest has just said that it is ready: keeps what it holds, if the pool has a place for it.
  void take_snapshot(Guest& g);
  // The guest has ended and nobody else looks at its memory: its region goes into the pool if it can be used again.
  void recycle(Guest& g);
  // Makes `g` a thread that has just become ready, with a stack of this size. False: there is none to be had.
  bool revive(Guest& g, uint64_t stack);
  bool make_way(const Extent& wanted);  // gives back what lies there; false: nothing did
  bool clear();                         // false: it was empty
  size_t size();

 private:
  static constexpr int kPlaces = 64;  // snapshots, of live threads and in the pool: about 100 KiB each
  bool forget_oldest();  // nobody may ask for a stack of that size again; false: there is none
  std::atomic<int> places_{0};
  std::mutex mutex_;
  std::vector<std::unique_ptr<WarmRegion>> regions_;
};

}  // namespace dmi::host
