// A thread's memory: one or more extents in the thread zone and what is mapped in them.
//
//   base                                                                           base + size
//   | guard | <- stack, growing down | image | brk heap, growing up ->     <- mmaps, growing down |
//
// What every thread touches, the ends of its stack and of its heap and the image between them, is close together: under one page
// of each level of the page table for most programs.
//
// Every byte of an extent is always mapped: what the guest does not use is a PROT_NONE reservation, so nothing else can
// land there. `areas` holds what the guest uses, by start address, never overlapping. All address-space system calls of a
// guest end here. Called by the worker that runs the guest, or by a mover while the guest is paused.
#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "random_address.h"
#include "spin.h"

namespace dmi::host {

// A file as the guest named it; `real` is what to open on this machine. Content identity is size + hash.
struct MappedFile {
  std::string path;
  std::string real;
  std::string hash;  // SHA-256, hex; empty until somebody needs it
  uint64_t size = 0;
};

struct Area {
  uint64_t end = 0;
  int prot = 0;
  bool shared_write = false;             // a MAP_SHARED writable file mapping: pins the thread
  std::shared_ptr<MappedFile> file;      // null: anonymous
  uint64_t offset = 0;                   // in the file, of the area's first byte
};

struct Extent {
  uint64_t base = 0;
  uint64_t size = 0;
};

class AddressSpace {
 public:
  AddressSpace() = default;
  AddressSpace(const AddressSpace&) = delete;
  AddressSpace& operator=(const AddressSpace&) = delete;
  ~AddressSpace() { release(); }

  void create(const Zone& zone, uint64_t size);           // throws Error
  void adopt(const Zone& zone, std::vector<Extent> extents);  // already reserved (a move's destination)
  void release();                                          // unmaps everything
  bool contains(uint64_t addr, uint64_t size) const;
  // Every byte is mapped with this protection: the host may touch it on the guest's behalf.
  bool allows(uint64_t addr, uint64_t size, int prot) const;

  // Guest system calls: a result or -errno.
  int64_t brk(uint64_t addr);
  int64_t map(uint64_t addr, uint64_t size, int prot, int flags, int fd, uint64_t offset, std::shared_ptr<MappedFile> file);
  int64_t unmap(uint64_t addr, uint64_t size);
  int64_t protect(uint64_t addr, uint64_t size, int prot);
  int64_t remap(uint64_t old_addr, uint64_t old_size, uint64_t new_size, int flags, uint64_t new_addr);
  int64_t advise(uint64_t addr, uint64_t size, int advice);

  // A region that is used again (warm.h). seal() remembers what is mapped; false: it cannot be brought back to that later.
  bool seal();
  // Unmaps what came since. False: what was there then has been changed, or the region has grown; it may still be released.
  bool unseal();
  void keep(uint64_t start, uint64_t size);  // the host's own addition to a sealed space
  void take(AddressSpace& from);             // this one is empty, and so is the other then

  // Loader and mover.
  void set_brk(uint64_t start, uint64_t now) { brk_start_ = start; brk_ = now; }
  uint64_t brk_start() const { return brk_start_; }
  uint64_t brk_now() const { return brk_; }
  void note(uint64_t start, Area area) { insert(start, std::move(area)); }  // already mapped by the caller
  const std::map<uint64_t, Area>& areas() const { return areas_; }
  const std::vector<Extent>& extents() const { return extents_; }
  // For reports, from any thread while the guest runs.
  std::vector<Extent> extents_copy() const;
  uint64_t mapped_bytes() const { return mapped_.load(std::memory_order_relaxed); }
  const Area* find(uint64_t addr, uint64_t* start = nullptr) const;
  void set_stack(uint64_t low, uint64_t high) { stack_low_ = low; stack_high_ = high; }
  uint64_t stack_low() const { return stack_low_; }
  uint64_t stack_high() const { return stack_high_; }

 private:
  uint64_t find_gap(uint64_t size);           // 0: none, after trying to grow
  uint64_t gap_in(const Extent& e, uint64_t size) const;
  bool grow(uint64_t size);
  void add_extent(Extent e);
  void cut(uint64_t start, uint64_t end);     // removes [start,end) from areas_, splitting
  void insert(uint64_t start, Area area);     // cut, then add, merging anonymous neighbours
  bool free_range(uint64_t start, uint64_t end) const;
  void touch(uint64_t start, uint64_t size);  // a guest's call changes what is mapped there

  Zone zone_;
  mutable SpinLock extents_lock_;  // against extents_copy() only
  std::atomic<uint64_t> mapped_{0};  // bytes in areas_
  std::vector<Extent> extents_;
  std::map<uint64_t, Area> areas_;
  uint64_t brk_start_ = 0, brk_ = 0;
  uint64_t stack_low_ = 0, stack_high_ = 0;

  std::map<uint64_t, Area> sealed_;  // what was mapped at seal()
  uint64_t sealed_brk_ = 0, sealed_size_ = 0;
  bool broken_ = false;              // the guest has changed one of them
};

}  // namespace dmi::host
