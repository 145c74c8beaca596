// Where a member keeps pages: mappings, page tables, page descriptors, frames.
//
// Two kinds of callers look in here. The engine, under its lock, changes everything. The hot paths (try_*) run on other
// threads without that lock and find a page like this:
//
//   address --mapping id--> Mapping --index, through a radix tree--> Page --under the page's lock--> bytes
//
// They may be slow and meet a tree that is being emptied, or a Page that serves another address by now. That is harmless:
//  - Mapping, tree nodes of one height and width, and Page descriptors are *type-stable*: their memory is only reused for
//    the same kind of object and returned when the engine is destroyed. Mappings are never reused at all.
//  - Everything they read outside the page's lock is atomic.
//  - Under the page's lock they compare [page.base, +page.size) with what they want. Mapping ids, and so addresses, are
//    never used twice: a page that covers the address *is* the page.
// Frames (the bytes) are only touched under the page's lock and may be freed by whoever holds it.
#pragma once
#include <atomic>
#include <bit>
#include <cstdlib>
#include <deque>
#include <memory>
#include <new>
#include <vector>

#include "wire.h"

namespace dmi::memory {

// A spin lock that a preempted holder cannot make others pay for dearly: hot paths give up, the engine yields.
class SpinLock {
 public:
  bool try_lock() noexcept { return !held_.load(std::memory_order_relaxed) && !held_.exchange(true, std::memory_order_acquire); }
  bool try_lock_briefly() noexcept {
    for (int i = 0; i < 64; i++) {
      if (try_lock()) return true;
      __builtin_ia32_pause();
    }
    return false;
  }
  void lock() noexcept;
  void unlock() noexcept { held_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> held_{false};
};

// The bytes of one page. `refs` counts the page itself and every message in flight that points into them: bytes are only
// written while it is 1, otherwise the page gets a fresh copy first.
struct PageFrame {
  std::atomic<int64_t> refs{1};
  int64_t size = 0;
  std::byte* bytes() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
  static PageFrame* make(int64_t size);  // zero-filled, or throws std::bad_alloc
  static PageFrame* make_raw(int64_t size);  // with any content
  void ref() noexcept { refs.fetch_add(1, std::memory_order_relaxed); }
  void unref() noexcept;
  bool shared() const noexcept { return refs.load(std::memory_order_acquire) > 1; }
  std::shared_ptr<const void> keep();    // one more reference, for a Frame::Slice
};
static_assert(sizeof(PageFrame) == 16);

struct Mapping;
struct PageWork;  // page_work.h: queues and sharers of a page that has any

enum class Role : uint8_t {
  None,   // only bookkeeping: a fetch or an acquisition is under way, or requests wait for the page to arrive
  Copy,   // a sharer's copy
  Owned,  // the truth
};

struct Page {
  static constexpr uint8_t kRead = 1, kWrite = 2;

  // -- read by hot paths, under `lock`; written by the engine, under `lock`
  SpinLock lock;
  uint8_t access = 0;     // what hot paths may do: kWrite only when Owned, without sharers and idle
  std::atomic<bool> used{false};  // since the pool's clock last looked; hot paths set it
  GlobalAddr base = 0;    // 0: descriptor is free
  int64_t size = 0;
  std::byte* data = nullptr;  // frame->bytes()
  PageFrame* frame = nullptr; // null exactly when role is None

  // -- the engine's
  PageKey key = 0;
  Mapping* mapping = nullptr;
  Role role = Role::None;
  uint64_t ver = 0;       // version of the content; grows with every write that copies must hear of
  std::unique_ptr<PageWork> work;

  Page();
  ~Page();
};

// One node of a mapping's radix tree; `slots` are child nodes, or Pages at height 0.
struct TreeNode {
  std::unique_ptr<std::atomic<void*>[]> slots;
  std::unique_ptr<MemberId[]> hints;  // height 0 only, the engine's: who was the owner when we last heard
  uint32_t width = 0;
};

struct Mapping {
  static constexpr int kBits = 9;  // of an index per height

  uint32_t id = 0;
  std::atomic<bool> dead{false};
  int64_t page_size = 0;           // these three never change after publication
  int64_t page_count = 0;
  int shift = -1;                  // log2(page_size), or -1
  int height = 0;                  // of the root
  uint32_t leaf_width = 1;
  std::atomic<TreeNode*> root{nullptr};

  int64_t bytes() const noexcept { return page_size * page_count; }
  uint64_t index_of(uint64_t offset) const noexcept {
    return shift >= 0 ? offset >> shift : offset / static_cast<uint64_t>(page_size);
  }
  GlobalAddr page_base(uint64_t index) const noexcept {
    return static_cast<GlobalAddr>((static_cast<uint64_t>(id) << kOffsetBits) + index * static_cast<uint64_t>(page_size));
  }
  // Any thread. Null when there is no such page here.
  Page* find(uint64_t index) const noexcept {
    TreeNode* node = root.load(std::memory_order_acquire);
    if (!node || index >= static_cast<uint64_t>(page_count)) return nullptr;
    for (int h = height; h > 0; h--) {
      const uint64_t slot = (index >> (h * kBits)) & ((1u << kBits) - 1);
      node = static_cast<TreeNode*>(node->slots[slot].load(std::memory_order_acquire));
      if (!node) return nullptr;
    }
    const uint64_t slot = index & ((1u << kBits) - 1);
    return slot < node->width ? static_cast<Page*>(node->slots[slot].load(std::memory_order_acquire)) : nullptr;
  }
};

inline PageKey key_of(uint32_t mapping, uint64_t index) { return static_cast<uint64_t>(mapping) << kOffsetBits | index; }
inline uint32_t mapping_of(uint64_t key_or_addr) { return static_cast<uint32_t>(key_or_addr >> kOffsetBits); }
inline uint64_t index_of(PageKey key) { return key & kOffsetMask; }

class PageStore {
 public:
  PageStore();
  ~PageStore();
  PageStore(const PageStore&) = delete;

  // Any thread. The mapping if it is known here (it may be dead).
  Mapping* mapping(uint64_t id) const noexcept {
    if (id == 0 || id > kMaxMapping) return nullptr;
    auto* leaf = directory_[id >> 11].load(std::memory_order_acquire);
    return leaf ? leaf[id & 2047].load(std::memory_order_acquire) : nullptr;
  }

  // Engine only from here on.
  Mapping* add_mapping(uint32_t id, int64_t page_size, int64_t page_count, bool dead);
  Page* find(PageKey key) const {
    auto* m = mapping(mapping_of(key));
    return m ? m->find(dmi::memory::index_of(key)) : nullptr;
  }
  Page& get(Mapping& m, uint64_t index);  // creates a None page when there is none
  void release(Page& p);                  // forgets the page: frame, work and place in the tree
  void empty(Mapping& m);                 // after all its pages were released: gives its tree back
  template <class F> void each_page(F&& f) { for (auto& p : pages_) if (p.base != 0) f(p); }

  // Every descriptor, in use or free, for a clock over all pages.
  size_t page_slots() const { return pages_.size(); }
  Page& page_slot(size_t i) { return pages_[i]; }

  MemberId hint(const Mapping& m, uint64_t index) const;
  void set_hint(Mapping& m, uint64_t index, MemberId owner);

  void set_frame(Page& p, PageFrame* frame, Role role);  // takes over `frame` (may be null with Role::None)
  void set_access(Page& p, uint8_t access);
  // Bytes of an owned page or copy that may be written now, with the page's lock held by the caller.
  std::byte* writable(Page& p);
  // The frame of an owned page or copy, with the page's lock held; the caller unrefs what it gets, later.
  PageFrame* exchange_frame(Page& p, PageFrame* fresh);

  int64_t pages_owned = 0, pages_cached = 0, bytes_owned = 0, bytes_cached = 0;

 private:
  TreeNode* new_node(int height, uint32_t width);
  TreeNode* leaf(const Mapping& m, uint64_t index) const;
  void empty_node(TreeNode* node, int height);
  void count(const Page& p, int sign);

  std::unique_ptr<std::atomic<std::atomic<Mapping*>*>[]> directory_;  // 4096 x 2048 mappings
  std::vector<std::unique_ptr<std::atomic<Mapping*>[]>> directory_leaves_;
  std::deque<Mapping> mappings_;
  std::deque<Page> pages_;
  std::vector<Page*> free_pages_;
  std::deque<TreeNode> nodes_;
  std::vector<TreeNode*> free_nodes_[6][Mapping::kBits + 1];  // by height, log2(width)
};

}  // namespace dmi::memory
