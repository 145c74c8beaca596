#include "pages.h"

#include <sched.h>

#include <algorithm>
#include <utility>

#include "frame_memory.h"
#include "page_work.h"

namespace dmi::memory {

void SpinLock::lock() noexcept {
  for (int i = 0; !try_lock(); i++) {
    if (i < 1000) __builtin_ia32_pause();
    else sched_yield();  // the holder may be preempted
  }
}

namespace {

// Large frames that nobody uses, for the next page of that size: what the allocator gives back to the kernel has to be faulted
// in again, a microsecond for every 4 KiB.
class SpareFrames {
 public:
  void* take(int64_t size) noexcept {
    void* found = nullptr;
    lock_.lock();
    for (auto& s : spare_)
      if (s.memory && s.size == size) {
        found = std::exchange(s.memory, nullptr);
        total_ -= size;
        break;
      }
    lock_.unlock();
    return found;
  }
  bool keep(void* memory, int64_t size) noexcept {
    if (size < kLeast) return false;
    bool kept = false;
    lock_.lock();
    if (total_ + size <= kMost)
      for (auto& s : spare_)
        if (!s.memory) {
          s = {memory, size};
          total_ += size;
          kept = true;
          break;
        }
    lock_.unlock();
    return kept;
  }

 private:
  static constexpr int64_t kLeast = 64 << 10, kMost = 32 << 20;  // bytes, of one frame and of all
  struct Spare {
    void* memory = nullptr;
    int64_t size = 0;
  };
  SpinLock lock_;
  Spare spare_[32];
  int64_t total_ = 0;
};
SpareFrames spare_frames;

}  // namespace

namespace {
void* large(size_t bytes) {
  FrameMemory* shared = bytes >= FrameMemory::kLeast ? FrameMemory::get() : nullptr;
  return shared ? shared->take(bytes) : nullptr;
}
}  // namespace

PageFrame* PageFrame::make(int64_t size) {
  const size_t bytes = sizeof(PageFrame) + static_cast<size_t>(size);
  void* p = large(bytes);
  if (!p) p = std::calloc(1, bytes);
  if (!p) throw std::bad_alloc();
  auto* f = new (p) PageFrame;
  f->size = size;
  return f;
}
PageFrame* PageFrame::make_raw(int64_t size) {
  const size_t bytes = sizeof(PageFrame) + static_cast<size_t>(size);
  void* p = spare_frames.take(size);
  if (!p) p = large(bytes);
  if (!p) p = std::malloc(bytes);
  if (!p) throw std::bad_alloc();
  auto* f = new (p) PageFrame;
  f->size = size;
  return f;
}
void PageFrame::unref() noexcept {
  if (refs.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  const auto bytes = size;
  this->~PageFrame();
  if (spare_frames.keep(this, bytes)) return;
  FrameMemory* shared = FrameMemory::get();
  if (!shared || !shared->give_back(this, sizeof(PageFrame) + static_cast<size_t>(bytes))) std::free(this);
}
std::shared_ptr<const void> PageFrame::keep() {
  ref();
  return {static_cast<const void*>(this), [this](const void*) { unref(); }};
}

Page::Page() = default;
Page::~Page() { if (frame) frame->unref(); }

PageStore::PageStore() : directory_(new std::atomic<std::atomic<Mapping*>*>[4096]) {
  for (int i = 0; i < 4096; i++) directory_[i].store(nullptr, std::memory_order_relaxed);
}
PageStore::~PageStore() = default;

Mapping* PageStore::add_mapping(uint32_t id, int64_t page_size, int64_t page_count, bool dead) {
  if (auto* m = mapping(id)) return m;
  auto& slot = directory_[id >> 11];
  auto* leaf = slot.load(std::memory_order_relaxed);
  if (!leaf) {
    auto fresh = std::make_unique<std::atomic<Mapping*>[]>(2048);
    for (int i = 0; i < 2048; i++) fresh[i].store(nullptr, std::memory_order_relaxed);
    leaf = fresh.get();
    directory_leaves_.push_back(std::move(fresh));
    slot.store(leaf, std::memory_order_release);
  }
  auto& m = mappings_.emplace_back();
  m.id = id;
  m.dead.store(dead, std::memory_order_relaxed);
  m.page_size = page_size;
  m.page_count = page_count;
  if (page_size > 0 && std::has_single_bit(static_cast<uint64_t>(page_size))) m.shift = std::countr_zero(static_cast<uint64_t>(page_size));
  if (!dead) {
    const auto bits = std::bit_width(static_cast<uint64_t>(page_count - 1));
    m.height = bits <= Mapping::kBits ? 0 : (bits - 1) / Mapping::kBits;
    m.leaf_width = m.height ? 1u << Mapping::kBits : static_cast<uint32_t>(std::bit_ceil(static_cast<uint64_t>(page_count)));
    m.root.store(new_node(m.height, m.height ? 1u << Mapping::kBits : m.leaf_width), std::memory_order_relaxed);
  }
  leaf[id & 2047].store(&m, std::memory_order_release);
  return &m;
}

TreeNode* PageStore::new_node(int height, uint32_t width) {
  auto& pool = free_nodes_[height][std::bit_width(width) - 1];
  if (!pool.empty()) {
    auto* n = pool.back();
    pool.pop_back();
    return n;
  }
  auto& n = nodes_.emplace_back();
  n.width = width;
  n.slots = std::make_unique<std::atomic<void*>[]>(width);
  for (uint32_t i = 0; i < width; i++) n.slots[i].store(nullptr, std::memory_order_relaxed);
  if (height == 0) {
    n.hints = std::make_unique<MemberId[]>(width);
    std::fill_n(n.hints.get(), width, kNoMember);
  }
  return &n;
}

TreeNode* PageStore::leaf(const Mapping& m, uint64_t index) const {
  TreeNode* node = m.root.load(std::memory_order_relaxed);
  for (int h = m.height; node && h > 0; h--)
    node = static_cast<TreeNode*>(node->slots[(index >> (h * Mapping::kBits)) & ((1u << Mapping::kBits) - 1)].load(std::memory_order_relaxed));
  return node;
}

Page& PageStore::get(Mapping& m, uint64_t index) {
  TreeNode* node = m.root.load(std::memory_order_relaxed);
  for (int h = m.height; h > 0; h--) {
    auto& slot = node->slots[(index >> (h * Mapping::kBits)) & ((1u << Mapping::kBits) - 1)];
    auto* child = static_cast<TreeNode*>(slot.load(std::memory_order_relaxed));
    if (!child) {
      child = new_node(h - 1, 1u << Mapping::kBits);
      slot.store(child, std::memory_order_release);
    }
    node = child;
  }
  auto& slot = node->slots[index & ((1u << Mapping::kBits) - 1)];
  if (auto* p = static_cast<Page*>(slot.load(std::memory_order_relaxed))) return *p;
  Page* p;
  if (free_pages_.empty()) {
    p = &pages_.emplace_back();
  } else {
    p = free_pages_.back();
    free_pages_.pop_back();
  }
  p->lock.lock();
  p->access = 0;
  p->base = m.page_base(index);
  p->size = m.page_size;
  p->lock.unlock();
  p->key = key_of(m.id, index);
  p->mapping = &m;
  p->role = Role::None;
  p->used.store(true, std::memory_order_relaxed);
  p->ver = 0;
  slot.store(p, std::memory_order_release);
  return *p;
}

void PageStore::release(Page& p) {
  set_frame(p, nullptr, Role::None);
  const auto index = dmi::memory::index_of(p.key);
  if (auto* node = leaf(*p.mapping, index)) node->slots[index & ((1u << Mapping::kBits) - 1)].store(nullptr, std::memory_order_release);
  p.lock.lock();
  p.base = 0;
  p.size = 0;
  p.lock.unlock();
  p.work.reset();
  p.mapping = nullptr;
  p.key = 0;
  free_pages_.push_back(&p);
}

void PageStore::empty_node(TreeNode* node, int height) {
  for (uint32_t i = 0; i < node->width; i++) {
    if (height > 0)
      if (auto* child = static_cast<TreeNode*>(node->slots[i].load(std::memory_order_relaxed))) empty_node(child, height - 1);
    node->slots[i].store(nullptr, std::memory_order_release);
  }
  if (node->hints) std::fill_n(node->hints.get(), node->width, kNoMember);
  free_nodes_[height][std::bit_width(node->width) - 1].push_back(node);
}
void PageStore::empty(Mapping& m) {
  if (auto* root = m.root.exchange(nullptr, std::memory_order_acq_rel)) empty_node(root, m.height);
}

MemberId PageStore::hint(const Mapping& m, uint64_t index) const {
  auto* node = leaf(m, index);
  return node ? node->hints[index & ((1u << Mapping::kBits) - 1)] : kNoMember;
}
void PageStore::set_hint(Mapping& m, uint64_t index, MemberId owner) {
  if (m.dead.load(std::memory_order_relaxed)) return;
  TreeNode* node = m.root.load(std::memory_order_relaxed);
  for (int h = m.height; h > 0; h--) {
    auto& slot = node->slots[(index >> (h * Mapping::kBits)) & ((1u << Mapping::kBits) - 1)];
    auto* child = static_cast<TreeNode*>(slot.load(std::memory_order_relaxed));
    if (!child) {
      child = new_node(h - 1, 1u << Mapping::kBits);
      slot.store(child, std::memory_order_release);
    }
    node = child;
  }
  node->hints[index & ((1u << Mapping::kBits) - 1)] = owner;
}

void PageStore::count(const Page& p, int sign) {
  if (p.role == Role::Owned) { pages_owned += sign; bytes_owned += sign * p.size; }
  if (p.role == Role::Copy) { pages_cached += sign; bytes_cached += sign * p.size; }
}

void PageStore::set_frame(Page& p, PageFrame* frame, Role role) {
  count(p, -1);
  p.lock.lock();
  auto* old = p.frame;
  p.frame = frame;
  p.data = frame ? frame->bytes() : nullptr;
  p.role = role;
  p.access = 0;
  p.lock.unlock();
  count(p, 1);
  if (old && old != frame) old->unref();
}

void PageStore::set_access(Page& p, uint8_t access) {
  if (p.access == access) return;  // only the engine writes it
  p.lock.lock();
  p.access = access;
  p.lock.unlock();
}

std::byte* PageStore::writable(Page& p) {
  if (p.frame->shared()) {  // a message in flight still points at these bytes
    auto* fresh = PageFrame::make_raw(p.size);
    std::memcpy(fresh->bytes(), p.frame->bytes(), static_cast<size_t>(p.size));
    exchange_frame(p, fresh)->unref();
  }
  return p.data;
}

PageFrame* PageStore::exchange_frame(Page& p, PageFrame* fresh) {
  p.data = fresh->bytes();
  return std::exchange(p.frame, fresh);
}

}  // namespace dmi::memory
