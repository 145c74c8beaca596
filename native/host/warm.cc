#include "warm.h"

#include <string.h>
#include <sys/mman.h>

#include <algorithm>

#include "error.h"
#include "platform.h"

namespace dmi::host {
namespace {

// Pages that the last thread has touched and the next one finds zeroed rather than gone, at most: clearing one is cheaper than
// giving it back, which interrupts the other processors, and touching it again.
constexpr uint64_t kKeptZero = 32 * kPage;

void* ptr(uint64_t a) { return reinterpret_cast<void*>(a); }

std::vector<Run> own_pages(const AddressSpace& space) {
  std::vector<Run> runs;
  for (const auto& [start, area] : space.areas())
    if (area.prot & PROT_WRITE) populated_pages(start, area.end, runs);
  return runs;
}

bool drop(uint64_t start, uint64_t size) { return madvise(ptr(start), size, MADV_DONTNEED) == 0; }

}  // namespace

Snapshot::Snapshot(const Guest& g, std::atomic<int>& places) : places_(places), signals_(g.signals), runs_(own_pages(g.space)) {
  size_t total = 0;
  for (const Run& r : runs_) total += r.size;
  bytes_.resize(total);
  std::byte* to = bytes_.data();
  for (const Run& r : runs_) {
    memcpy(to, ptr(r.start), r.size);
    to += r.size;
  }
}

bool Snapshot::restore(AddressSpace& space) const {
  if (!space.unseal()) return false;
  uint64_t zeroed = 0;
  for (const Run& r : difference(own_pages(space), runs_)) {
    const Area* a = space.find(r.start);  // runs never reach over a mapping's end into one of another kind that needs other treatment
    const bool clear = a && !a->file && a->end >= r.start + r.size && zeroed + r.size <= kKeptZero;
    if (clear) memset(ptr(r.start), 0, r.size), zeroed += r.size;
    else if (!drop(r.start, r.size)) return false;
  }
  const std::byte* from = bytes_.data();
  for (const Run& r : runs_) {
    memcpy(ptr(r.start), from, r.size);
    from += r.size;
  }
  return true;
}

void WarmPool::take_snapshot(Guest& g) {
  if ((g.role != DMI_ROLE_THREAD && g.role != DMI_ROLE_SCALEUNIT) || g.snapshot || g.moves > 0 || g.moving) return;
  if (places_.fetch_add(1) >= kPlaces && !forget_oldest()) {
    places_--;
    return;
  }
  if (!g.space.seal()) {
    places_--;
    return;
  }
  try {
    g.snapshot = std::make_unique<Snapshot>(g, places_);
    g.ready_sp = g.context.sp;
    // Where the C library keeps the number that it has just been given; only if it is there indeed.
    const uint64_t at = g.process_id_at;
    if (!at || !g.space.allows(at, 4, PROT_READ | PROT_WRITE) || *static_cast<int32_t*>(ptr(at)) != static_cast<int32_t>(g.process_id()))
      g.process_id_at = 0;
  } catch (const Error&) {
    places_--;  // without /proc every thread starts from the beginning
  }
}

void WarmPool::recycle(Guest& g) {
  if (!g.snapshot || g.moves > 0 || g.moving || g.lent) return;
  auto region = std::make_unique<WarmRegion>();
  region->snapshot = std::move(g.snapshot);
  region->stack = g.space.stack_high() - g.space.stack_low();
  region->space.take(g.space);
  if (!region->snapshot->restore(region->space)) return;
  region->sites = g.sites;
  region->sp = g.ready_sp;
  region->process_at = g.process_id_at;
  std::lock_guard hold(mutex_);
  regions_.push_back(std::move(region));
}

bool WarmPool::revive(Guest& g, uint64_t stack) {
  std::unique_lock hold(mutex_);
  const auto it = std::find_if(regions_.rbegin(), regions_.rend(), [&](const auto& r) { return r->stack == stack; });
  if (it == regions_.rend()) return false;
  const auto region = std::move(*it);
  regions_.erase(std::next(it).base());
  hold.unlock();
  g.space.take(region->space);
  g.snapshot = std::move(region->snapshot);
  g.signals = g.snapshot->signals();
  g.sites = region->sites;
  g.context.sp = g.ready_sp = region->sp;
  g.process_id_at = region->process_at;
  // As if set_tid_address had given the C library this thread's number.
  if (g.process_id_at) *static_cast<int32_t*>(ptr(g.process_id_at)) = static_cast<int32_t>(g.process_id());
  return true;
}

bool WarmPool::make_way(const Extent& wanted) {
  std::vector<std::unique_ptr<WarmRegion>> given_back;
  std::unique_lock hold(mutex_);
  std::erase_if(regions_, [&](auto& r) {
    const auto& extents = r->space.extents();
    const bool overlaps = std::any_of(extents.begin(), extents.end(), [&](const Extent& e) {
      return e.base < wanted.base + wanted.size && wanted.base < e.base + e.size;
    });
    if (overlaps) given_back.push_back(std::move(r));
    return overlaps;
  });
  hold.unlock();
  return !given_back.empty();
}

bool WarmPool::forget_oldest() {
  std::unique_lock hold(mutex_);
  if (regions_.empty()) return false;
  const auto given_back = std::move(regions_.front());
  regions_.erase(regions_.begin());
  hold.unlock();
  return true;
}

bool WarmPool::clear() {
  std::unique_lock hold(mutex_);
  const auto given_back = std::move(regions_);
  regions_.clear();
  hold.unlock();
  return !given_back.empty();
}

size_t WarmPool::size() {
  std::lock_guard hold(mutex_);
  return regions_.size();
}

}  // namespace dmi::host
