// The hot paths: no engine lock, no allocation, no thread-local storage, no exceptions. See pages.h for why what they look
// at cannot vanish under them.
#include "engine_impl.h"

namespace dmi::memory {

namespace {

// The page that holds addr, locked and allowing `need`; null otherwise.
inline Page* lock_page(const PageStore& store, GlobalAddr addr, int64_t size, uint8_t need) noexcept {
  const auto* m = store.mapping(static_cast<uint64_t>(addr) >> kOffsetBits);
  if (!m || m->page_size <= 0) return nullptr;
  auto* p = m->find(m->index_of(static_cast<uint64_t>(addr) & kOffsetMask));
  if (!p || !p->lock.try_lock_briefly()) return nullptr;
  if ((p->access & need) && addr >= p->base && size <= p->size - (addr - p->base)) return p->used.store(true, std::memory_order_relaxed), p;
  p->lock.unlock();
  return nullptr;
}

}  // namespace

int EngineImpl::try_read(GlobalAddr addr, int64_t size, void* to, Mode mode) noexcept {
  if (size <= 0 || addr <= 0 || mode > Mode::Update || mode < Mode::Get) return 0;
  if (auto* p = lock_page(store_, addr, size, Page::kRead)) {
    const std::byte* from = p->data + (addr - p->base);
    if (size == 8) std::memcpy(to, from, 8);
    else std::memcpy(to, from, static_cast<size_t>(size));
    p->lock.unlock();
    return 1;
  }
  // Perhaps it spans pages that are all here. Each page's part is atomic, as the interface promises; if one is missing the
  // slow path reads all of it again.
  auto* out = static_cast<std::byte*>(to);
  for (int spans = 0; size > 0; spans++) {
    auto* p = spans < 64 ? lock_page(store_, addr, 1, Page::kRead) : nullptr;
    if (!p) return 0;
    const auto n = std::min(size, p->size - (addr - p->base));
    std::memcpy(out, p->data + (addr - p->base), static_cast<size_t>(n));
    // Stay inside the mapping: the address after its last page is the slow path's to refuse.
    p->lock.unlock();
    addr += n;
    out += n;
    size -= n;
  }
  return 1;
}

// One page only: half a write that the slow path then repeats could overwrite what came in between.
int EngineImpl::try_write(GlobalAddr addr, int64_t size, const void* from, Mode mode) noexcept {
  if (size <= 0 || addr <= 0 || (mode != Mode::Exclusive && mode != Mode::Put)) return 0;
  auto* p = lock_page(store_, addr, size, Page::kWrite);
  if (!p) return 0;
  const bool free = !p->frame->shared();
  if (free) {
    std::byte* to = p->data + (addr - p->base);
    if (size == 8) std::memcpy(to, from, 8);
    else std::memcpy(to, from, static_cast<size_t>(size));
  }
  p->lock.unlock();
  return free;
}

int EngineImpl::try_fad(GlobalAddr addr, int64_t add, int64_t* fetched) noexcept {
  if (addr <= 0) return 0;
  auto* p = lock_page(store_, addr, 8, Page::kWrite);
  if (!p) return 0;
  const bool free = !p->frame->shared();
  if (free) {
    std::byte* at = p->data + (addr - p->base);
    uint64_t v;
    std::memcpy(&v, at, 8);
    *fetched = static_cast<int64_t>(v);
    v += static_cast<uint64_t>(add);
    std::memcpy(at, &v, 8);
  }
  p->lock.unlock();
  return free;
}

}  // namespace dmi::memory
