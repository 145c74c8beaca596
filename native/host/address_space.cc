#include "address_space.h"

#include <errno.h>
#include <sys/mman.h>

#include <algorithm>
#include <mutex>
#include <utility>

#include "error.h"
#include "huge_pages.h"
#include "platform.h"

namespace dmi::host {
namespace {

void* ptr(uint64_t a) { return reinterpret_cast<void*>(a); }

int64_t reserve_again(uint64_t addr, uint64_t size) {
  void* r = mmap(ptr(addr), size, PROT_NONE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return r == MAP_FAILED ? -errno : 0;
}

// Fresh anonymous memory of a guest. Large memory that can be written is written, as a rule; but where it says itself that it is for
// use here and there (MAP_NORESERVE), and as long as it is closed, a huge page would mostly lie idle.
void offer_huge_pages(uint64_t start, uint64_t end, int prot, int flags = 0) {
  if (end - start >= kHugeFrom && (prot & PROT_WRITE) && !(flags & MAP_NORESERVE)) permit_huge_pages(start, end);
}

}  // namespace

void AddressSpace::create(const Zone& zone, uint64_t size) {
  zone_ = zone;
  size = page_up(size);
  add_extent({reserve_near(zone, size, round_up_power_of_two(size)), size});
}

void AddressSpace::adopt(const Zone& zone, std::vector<Extent> extents) {
  zone_ = zone;
  extents_ = std::move(extents);
}

void AddressSpace::release() {
  for (const Extent& e : extents_) munmap(ptr(e.base), e.size);
  std::lock_guard hold(extents_lock_);
  extents_.clear();
  areas_.clear();
  mapped_ = 0;
}

bool AddressSpace::contains(uint64_t addr, uint64_t size) const {
  return std::any_of(extents_.begin(), extents_.end(), [&](const Extent& e) {
    return addr >= e.base && addr <= e.base + e.size && size <= e.base + e.size - addr;
  });
}

bool AddressSpace::allows(uint64_t addr, uint64_t size, int prot) const {
  if (addr + size < addr) return false;
  for (uint64_t at = addr; at < addr + size;) {
    const Area* a = find(at);
    if (!a || (a->prot & prot) != prot) return false;
    at = a->end;
  }
  return true;
}

std::vector<Extent> AddressSpace::extents_copy() const {
  std::lock_guard hold(extents_lock_);
  return extents_;
}

void AddressSpace::add_extent(Extent e) {
  std::lock_guard hold(extents_lock_);
  if (!extents_.empty() && extents_.back().base + extents_.back().size == e.base) extents_.back().size += e.size;
  else extents_.push_back(e);
}

const Area* AddressSpace::find(uint64_t addr, uint64_t* start) const {
  auto it = areas_.upper_bound(addr);
  if (it == areas_.begin()) return nullptr;
  --it;
  if (addr >= it->second.end) return nullptr;
  if (start) *start = it->first;
  return &it->second;
}

bool AddressSpace::free_range(uint64_t start, uint64_t end) const {
  auto it = areas_.lower_bound(start);
  if (it != areas_.end() && it->first < end) return false;
  if (it == areas_.begin()) return true;
  return std::prev(it)->second.end <= start;
}

void AddressSpace::cut(uint64_t start, uint64_t end) {
  auto it = areas_.lower_bound(start);
  if (it != areas_.begin() && std::prev(it)->second.end > start) --it;
  while (it != areas_.end() && it->first < end) {
    const uint64_t s = it->first;
    Area a = it->second;
    it = areas_.erase(it);
    mapped_.fetch_sub(std::min(a.end, end) - std::max(s, start), std::memory_order_relaxed);
    if (s < start) {
      Area left = a;
      left.end = start;
      areas_.emplace(s, std::move(left));
    }
    if (a.end > end) {
      Area right = a;
      right.offset += end - s;
      it = areas_.emplace(end, std::move(right)).first;
      ++it;
    }
  }
}

void AddressSpace::insert(uint64_t start, Area area) {
  cut(start, area.end);
  mapped_.fetch_add(area.end - start, std::memory_order_relaxed);
  if (!area.file) {
    auto next = areas_.lower_bound(area.end);
    if (next != areas_.end() && next->first == area.end && !next->second.file && next->second.prot == area.prot) {
      area.end = next->second.end;
      areas_.erase(next);
    }
    auto prev = areas_.lower_bound(start);
    if (prev != areas_.begin()) {
      --prev;
      if (prev->second.end == start && !prev->second.file && prev->second.prot == area.prot) {
        prev->second.end = area.end;
        return;
      }
    }
  }
  areas_[start] = std::move(area);
}

// The highest gap of `size` bytes in an extent: mmaps grow down from the stack, the heap up from the image.
uint64_t AddressSpace::gap_in(const Extent& e, uint64_t size) const {
  uint64_t top = e.base + e.size;
  auto it = areas_.lower_bound(top);
  while (true) {
    const bool have = it != areas_.begin() && std::prev(it)->second.end > e.base;
    const uint64_t below = have ? std::prev(it)->second.end : e.base;
    if (top >= below && top - below >= size + kPage) return top - size;  // one page stays free: overruns fault
    if (!have) return 0;
    --it;
    top = it->first;
  }
}

bool AddressSpace::grow(uint64_t size) {
  const uint64_t want = std::max(page_up(size) + 2 * kPage, extents_.front().size);
  const Extent last = extents_.back();
  const uint64_t next = last.base + last.size;
  if (next + want <= zone_.high && next + want > next && reserve_at(next, want) == 0) {
    add_extent({next, want});
    return true;
  }
  try {
    add_extent({reserve_random(zone_, want, round_up_power_of_two(want)), want});
  } catch (const Error&) {
    return false;
  }
  return true;
}

uint64_t AddressSpace::find_gap(uint64_t size) {
  for (int attempt = 0; attempt < 2; attempt++) {
    for (const Extent& e : extents_)
      if (uint64_t at = gap_in(e, size)) return at;
    if (attempt == 0 && !grow(size)) return 0;
  }
  return 0;
}

int64_t AddressSpace::brk(uint64_t addr) {
  if (addr < brk_start_) return static_cast<int64_t>(brk_);
  const uint64_t old_end = page_up(brk_), new_end = page_up(addr);
  if (new_end > old_end) {
    if (new_end < addr || !contains(old_end, new_end - old_end) || !free_range(old_end, new_end + kPage))
      return static_cast<int64_t>(brk_);
    void* r = mmap(ptr(old_end), new_end - old_end, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (r == MAP_FAILED) return static_cast<int64_t>(brk_);
    offer_huge_pages(old_end, new_end, PROT_READ | PROT_WRITE);
    insert(old_end, Area{new_end, PROT_READ | PROT_WRITE, false, nullptr, 0});
  } else if (new_end < old_end) {
    touch(new_end, old_end - new_end);
    if (reserve_again(new_end, old_end - new_end) != 0) return static_cast<int64_t>(brk_);
    cut(new_end, old_end);
  }
  brk_ = addr;
  return static_cast<int64_t>(brk_);
}

int64_t AddressSpace::map(uint64_t addr, uint64_t size, int prot, int flags, int fd, uint64_t offset,
                          std::shared_ptr<MappedFile> file) {
  if (size == 0 || (offset & (kPage - 1))) return -EINVAL;
  size = page_up(size);
  if (size == 0) return -ENOMEM;  // wrapped around
  uint64_t at = addr;
  if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
    if (at & (kPage - 1)) return -EINVAL;
    if (!contains(at, size)) return -ENOMEM;  // outside the thread's region: not the guest's to map
    if ((flags & MAP_FIXED_NOREPLACE) && !free_range(at, at + size)) return -EEXIST;
  } else {
    at = page_down(addr);
    if (at == 0 || !contains(at, size) || !free_range(at, at + size)) at = find_gap(size);
    if (at == 0) return -ENOMEM;
  }
  touch(at, size);
  const bool anonymous = flags & MAP_ANONYMOUS;
  // MAP_SHARED anonymous memory has nobody to be shared with (a guest cannot fork); a shared file is shared only when it
  // is writable, otherwise a private mapping shows the same bytes.
  const bool shared_write = !anonymous && (flags & 0x3) != MAP_PRIVATE && (prot & PROT_WRITE);
  int kernel_flags = (flags & ~(0xf | MAP_FIXED_NOREPLACE)) | MAP_FIXED | (shared_write ? MAP_SHARED : MAP_PRIVATE);
  kernel_flags &= ~(MAP_GROWSDOWN | MAP_LOCKED | MAP_32BIT);
  void* r = mmap(ptr(at), size, prot, kernel_flags, anonymous ? -1 : fd, anonymous ? 0 : static_cast<off_t>(offset));
  if (r == MAP_FAILED) {
    const int e = errno;
    if (!(flags & MAP_FIXED)) reserve_again(at, size);
    return -e;
  }
  if (anonymous) offer_huge_pages(at, at + size, prot, flags);
  insert(at, Area{at + size, prot, shared_write, anonymous ? nullptr : std::move(file), anonymous ? 0 : offset});
  return static_cast<int64_t>(at);
}

int64_t AddressSpace::unmap(uint64_t addr, uint64_t size) {
  if ((addr & (kPage - 1)) || size == 0) return -EINVAL;
  size = page_up(size);
  if (!contains(addr, size)) return -EINVAL;
  touch(addr, size);
  const int64_t r = reserve_again(addr, size);
  if (r == 0) cut(addr, addr + size);
  return r;
}

int64_t AddressSpace::protect(uint64_t addr, uint64_t size, int prot) {
  if (addr & (kPage - 1)) return -EINVAL;
  size = page_up(size);
  if (size == 0) return 0;
  if (!contains(addr, size)) return -ENOMEM;
  // Only what is mapped may change: opening a reservation would hand out memory that no area accounts for.
  for (uint64_t a = addr; a < addr + size;) {
    const Area* area = find(a);
    if (!area) return -ENOMEM;
    a = area->end;
  }
  touch(addr, size);
  if (mprotect(ptr(addr), size, prot & ~(PROT_GROWSDOWN | PROT_GROWSUP)) != 0) return -errno;
  for (uint64_t a = addr; a < addr + size;) {
    uint64_t start = 0;
    Area part = *find(a, &start);
    const uint64_t end = std::min(part.end, addr + size), next = end;
    part.offset += a - start;
    part.end = end;
    part.prot = prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
    insert(a, std::move(part));
    a = next;
  }
  return 0;
}

int64_t AddressSpace::remap(uint64_t old_addr, uint64_t old_size, uint64_t new_size, int flags, uint64_t new_addr) {
  if ((old_addr & (kPage - 1)) || new_size == 0) return -EINVAL;
  old_size = page_up(old_size);
  new_size = page_up(new_size);
  uint64_t start = 0;
  const Area* found = find(old_addr, &start);
  // Shrinking works across mappings, as the kernel's does; everything else needs one that covers the old range.
  const bool shrink = new_size <= old_size && !(flags & (MREMAP_FIXED | 4));
  if (!found || old_size == 0 || old_addr + old_size < old_addr || (!shrink && found->end < old_addr + old_size)) return -EFAULT;
  Area area = *found;
  area.offset += old_addr - start;
  if (flags & (MREMAP_FIXED | 4 /* MREMAP_DONTUNMAP */)) {
    if ((flags & 4) || !(flags & MREMAP_MAYMOVE) || (new_addr & (kPage - 1)) || !contains(new_addr, new_size)) return -EINVAL;
  } else if (shrink) {
    if (new_size < old_size) {
      const int64_t r = unmap(old_addr + new_size, old_size - new_size);
      if (r) return r;
    }
    return static_cast<int64_t>(old_addr);
  } else {
    const uint64_t old_end = old_addr + old_size, new_end = old_addr + new_size;
    if (!area.file && contains(old_end, new_size - old_size) && free_range(old_end, new_end)) {
      void* r = mmap(ptr(old_end), new_size - old_size, area.prot, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (r == MAP_FAILED) return -errno;
      offer_huge_pages(old_addr, new_end, area.prot);  // all of it: the kernel goes on taking it for one mapping
      insert(old_end, Area{new_end, area.prot, false, nullptr, 0});
      return static_cast<int64_t>(old_addr);
    }
    if (!(flags & MREMAP_MAYMOVE)) return -ENOMEM;
    new_addr = find_gap(new_size);
    if (new_addr == 0) return -ENOMEM;
  }
  touch(old_addr, old_size);
  touch(new_addr, new_size);
  const auto move = [&] { return mremap(ptr(old_addr), old_size, new_size, MREMAP_MAYMOVE | MREMAP_FIXED, ptr(new_addr)); };
  void* r = move();
  // It moves no two mappings at once, and of one that we know as one a part may have huge pages.
  if (r == MAP_FAILED && errno == EFAULT && !area.file && permit_huge_pages(old_addr, old_addr + old_size)) r = move();
  if (r == MAP_FAILED) {
    const int e = errno;
    if (reserve_at(new_addr, new_size) == 0) cut(new_addr, new_addr + new_size);  // the kernel had cleared the place before it failed
    return -e;
  }
  reserve_again(old_addr, old_size);
  cut(old_addr, old_addr + old_size);
  area.end = new_addr + new_size;
  insert(new_addr, std::move(area));
  return static_cast<int64_t>(new_addr);
}

int64_t AddressSpace::advise(uint64_t addr, uint64_t size, int advice) {
  if (!contains(addr, page_up(size))) return -ENOMEM;
  touch(addr, page_up(size));
  return madvise(ptr(addr), size, advice) != 0 ? -errno : 0;
}

// ---- regions that are used again -------------------------------------------------------------------------------------

bool AddressSpace::seal() {
  if (extents_.size() != 1) return false;
  if (std::any_of(areas_.begin(), areas_.end(), [](const auto& a) { return a.second.shared_write; })) return false;
  sealed_ = areas_;
  sealed_brk_ = brk_;
  sealed_size_ = extents_.front().size;
  broken_ = false;
  return true;
}

void AddressSpace::touch(uint64_t start, uint64_t size) {
  if (broken_ || sealed_.empty()) return;
  auto it = sealed_.lower_bound(start);
  if (it != sealed_.begin() && std::prev(it)->second.end > start) --it;
  broken_ = it != sealed_.end() && it->first < start + size;
}

bool AddressSpace::unseal() {
  if (sealed_.empty() || broken_ || extents_.size() != 1 || extents_.front().size != sealed_size_) return false;
  for (const auto& [start, area] : areas_)
    for (uint64_t at = start; at < area.end;) {
      auto next = sealed_.upper_bound(at);
      if (next != sealed_.begin() && std::prev(next)->second.end > at) {
        at = std::prev(next)->second.end;
        continue;
      }
      const uint64_t end = next == sealed_.end() ? area.end : std::min(area.end, next->first);
      if (reserve_again(at, end - at) != 0) return false;
      at = end;
    }
  areas_ = sealed_;
  uint64_t mapped = 0;
  for (const auto& [start, area] : areas_) mapped += area.end - start;
  mapped_ = mapped;
  brk_ = sealed_brk_;
  return true;
}

void AddressSpace::keep(uint64_t start, uint64_t size) {
  uint64_t from = 0;
  const Area* area = sealed_.empty() ? nullptr : find(start, &from);
  if (!area) return;
  Area kept = *area;
  kept.end = start + size;
  kept.offset += start - from;
  sealed_.emplace(start, std::move(kept));
}

void AddressSpace::take(AddressSpace& from) {
  std::scoped_lock hold(extents_lock_, from.extents_lock_);
  zone_ = from.zone_;
  extents_ = std::exchange(from.extents_, {});
  areas_ = std::exchange(from.areas_, {});
  mapped_ = from.mapped_.exchange(0);
  brk_start_ = from.brk_start_, brk_ = from.brk_;
  stack_low_ = from.stack_low_, stack_high_ = from.stack_high_;
  sealed_ = std::exchange(from.sealed_, {});
  sealed_brk_ = from.sealed_brk_, sealed_size_ = from.sealed_size_, broken_ = from.broken_;
}

}  // namespace dmi::host
