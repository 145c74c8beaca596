#include "fake_gate.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <vector>

namespace fake {
namespace {

struct Mapping {
  int64_t page_size;
  std::vector<char> bytes;
};
struct Pending {
  int checks;
  int64_t result, value;
};
std::map<int64_t, Mapping> memory;  // by address
std::map<uint64_t, Pending> pending;
std::set<int64_t> locked;
uint64_t last_handle;
int64_t next_address;
int32_t last_thread;
int delay;
bool fast;
Counts counted;
const char* sentence = "";

constexpr int64_t kRoot = DMI_ROOT_ADDRESS;

int64_t refuse(int error, const char* why) {
  sentence = why;
  return -error;
}

char* at(int64_t addr, int64_t size) {
  auto it = memory.upper_bound(addr);
  if (it == memory.begin()) return nullptr;
  --it;
  int64_t offset = addr - it->first;
  if (offset + size > static_cast<int64_t>(it->second.bytes.size())) return nullptr;
  return it->second.bytes.data() + offset;
}

int64_t map(int64_t page_size, int64_t pages) {
  int64_t addr = next_address;
  memory[addr] = {page_size, std::vector<char>(static_cast<size_t>(page_size * pages))};
  next_address += page_size * pages + 977;  // odd on purpose: nobody may count on alignment
  return addr;
}

int64_t run(dmi_gate_op* op) {
  counted.ops++;
  char* place = at(op->addr, op->size);
  switch (op->kind) {
    case DMI_K_MMAP: op->value = map(op->size, op->value); return 0;
    case DMI_K_MUNMAP: return op->addr != kRoot && memory.erase(op->addr) ? 0 : refuse(EINVAL, "not a mapping");
    case DMI_K_READ:
    case DMI_K_WRITE:
      for (int i = 0; i < op->count; i++) {
        const dmi_gate_piece& p = op->pieces[i];
        char* bytes = at(p.addr, p.size);
        if (!bytes) return refuse(EFAULT, "outside any mapping");
        counted.pieces++;
        if (op->kind == DMI_K_READ) counted.read_bytes += p.size;
        if (p.size > 0) op->kind == DMI_K_READ ? memcpy(p.ptr, bytes, p.size) : memcpy(bytes, p.ptr, p.size);
      }
      return 0;
    case DMI_K_CAS:
      if (!place) return refuse(EFAULT, "outside any mapping");
      op->value = memcmp(place, op->in, op->size) == 0;
      if (op->value) memcpy(place, op->in2, op->size);
      return 0;
    case DMI_K_FAS:
      if (!place) return refuse(EFAULT, "outside any mapping");
      memcpy(op->out, place, op->size);
      memcpy(place, op->in, op->size);
      return 0;
    case DMI_K_FAD: {
      if (!place) return refuse(EFAULT, "outside any mapping");
      int64_t before, after;
      memcpy(&before, place, 8);
      after = before + op->value;
      memcpy(place, &after, 8);
      op->value = before;
      return 0;
    }
    case DMI_K_WATCH:
      if (!place) return refuse(EFAULT, "outside any mapping");
      if (memcmp(place, op->in, op->size) == 0) return refuse(EDEADLK, "nobody else is there to change it");
      memcpy(op->out, place, op->size);
      return 0;
    case DMI_K_MUTEX_LOCK: return locked.insert(op->addr).second ? 0 : refuse(EDEADLK, "locked twice");
    case DMI_K_MUTEX_TRYLOCK: op->value = locked.insert(op->addr).second; return 0;
    case DMI_K_MUTEX_UNLOCK: return locked.erase(op->addr) ? 0 : refuse(EPERM, "not locked");
    case DMI_K_OBJECT_DESTROY: return locked.count(op->addr) ? refuse(EBUSY, "locked") : 0;
    case DMI_K_BARRIER: return 0;
    case DMI_K_EVENT_WAIT: op->value = op->thread.thread_id; return 0;
    case DMI_K_EVENT_DROP: return 0;
    default: return refuse(ENOSYS, "not in this fake");
  }
}

int64_t call(int64_t nr, void* args) {
  switch (nr) {
    case DMI_G_ERROR: {
      auto* text = static_cast<dmi_gate_text*>(args);
      snprintf(text->buf, text->size, "%s", sentence);
      return 0;
    }
    case DMI_G_OP: {
      auto* op = static_cast<dmi_gate_op*>(args);
      int64_t result = run(op);
      if (!(op->flags & DMI_GF_ASYNC)) return result;
      op->handle = ++last_handle;
      pending[last_handle] = {delay, result, op->value};
      return 0;
    }
    case DMI_G_CHECK: {
      auto* wait = static_cast<dmi_gate_wait*>(args);
      auto it = pending.find(wait->handle);
      if (it == pending.end()) return refuse(EINVAL, "no such handle");
      wait->done = it->second.checks-- <= 0;
      return 0;
    }
    case DMI_G_WAIT: {
      auto* wait = static_cast<dmi_gate_wait*>(args);
      auto it = pending.find(wait->handle);
      if (it == pending.end()) return refuse(EINVAL, "no such handle");
      wait->done = 1;
      wait->result = it->second.result;
      wait->value = it->second.value;
      pending.erase(it);
      return 0;
    }
    case DMI_G_CREATE: {
      auto* create = static_cast<dmi_gate_create*>(args);
      create->created = {0, ++last_thread};
      return 0;
    }
    default: return refuse(ENOSYS, "not in this fake");
  }
}

int64_t fast_read(int64_t addr, int64_t size, void* buf, int32_t) {
  char* bytes = fast ? at(addr, size) : nullptr;
  if (!bytes) return 0;
  memcpy(buf, bytes, size);
  counted.fast++;
  return 1;
}
int64_t fast_write(int64_t addr, int64_t size, const void* buf, int32_t) {
  char* bytes = fast ? at(addr, size) : nullptr;
  if (!bytes) return 0;
  memcpy(bytes, buf, size);
  counted.fast++;
  return 1;
}
int64_t fast_fad(int64_t, int64_t, int64_t*) { return 0; }

}  // namespace

void reset() {
  static bool mapped = [] {
    void* page = mmap(reinterpret_cast<void*>(DMI_GATE_ADDRESS), 4096, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (page == MAP_FAILED) return false;
    dmi_gate gate{};
    gate.magic = DMI_GATE_MAGIC;
    gate.version = DMI_GATE_VERSION;
    gate.size = sizeof gate;
    gate.call = call;
    gate.fast_read = fast_read;
    gate.fast_write = fast_write;
    gate.fast_fad = fast_fad;
    memcpy(page, &gate, sizeof gate);
    return true;
  }();
  ASSERT_TRUE(mapped) << "the gate's address is taken";
  memory.clear();
  pending.clear();
  locked.clear();
  memory[kRoot] = {4096, std::vector<char>(4096)};
  next_address = 1 << 20;
  delay = 0;
  fast = false;
  last_thread = 100;
  counted = {};
}
Counts& counts() { return counted; }
void set_delay(int checks) { delay = checks; }
void set_fast(bool on) { fast = on; }
int64_t mappings() { return static_cast<int64_t>(memory.size()) - 1; }

}  // namespace fake

extern "C" int64_t DMI_thread(int64_t addr) { return addr; }
