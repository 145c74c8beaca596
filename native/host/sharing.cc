// Named export and import of memory between threads of one host: an importer loads and stores the exporter's memory itself.
//
// Pointers hold in one host only, so both sides are pinned to it: an exporter until it has withdrawn all its exports, an
// importer until it has given all its imports back. What has been imported stays mapped for its importers when the exporter
// withdraws it or ends; only what the exporter itself unmaps, or moves with realloc, is gone.
#include <errno.h>

#include <algorithm>

#include "host.h"
#include "platform.h"

namespace dmi::host {
namespace {
constexpr size_t kLongestName = 255;
constexpr size_t kMost = 4096;  // exports of a thread, and imports

std::string quoted(const std::string& name) { return "'" + name + "'"; }
}  // namespace

bool Sharing::name_of(const Guest& g, const char* at, std::string& name) {
  name.clear();
  for (auto address = reinterpret_cast<uint64_t>(at); name.size() <= kLongestName; address++) {
    if (!g.space.allows(address, 1, 1 /* PROT_READ */)) return false;
    const char c = *reinterpret_cast<const char*>(address);
    if (c == 0) return true;
    name += c;
  }
  return true;  // too long, as the caller sees
}

Sharing::Answer Sharing::export_memory(Guest& g, const std::string& name, void* start, int64_t size) {
  if (name.empty() || name.size() > kLongestName) return {EINVAL, "a name for exported memory has 1 to 255 bytes"};
  if (size <= 0 || !g.space.allows(reinterpret_cast<uint64_t>(start), static_cast<uint64_t>(size), 1))
    return {EFAULT, "what is to be exported as " + quoted(name) + " is not in the thread's memory"};
  std::lock_guard hold(mutex_);
  if (g.exports.size() >= kMost) return {ENOSPC, "the thread exports " + std::to_string(kMost) + " memories already"};
  if (!g.exports.emplace(name, SharedMemory{start, size}).second) return {EEXIST, "the thread exports something named " + quoted(name) + " already"};
  return {};
}

Sharing::Answer Sharing::withdraw(Guest& g, const std::string& name) {
  std::lock_guard hold(mutex_);
  if (!g.exports.erase(name)) return {ENOENT, "the thread exports nothing named " + quoted(name)};
  return {};
}

Sharing::Answer Sharing::import_memory(Guest& g, std::shared_ptr<Guest> from, const std::string& who, const std::string& name, SharedMemory& memory) {
  std::lock_guard hold(mutex_);
  if (!from || from->shares_no_more)
    return {EXDEV, "thread " + who + " is not on this host: it is on another node, or has ended. Memory is shared between threads of one host; "
                   "move one to the other (DMI_migrate), or use global memory"};
  const auto found = from->exports.find(name);
  if (found == from->exports.end()) return {ENOENT, "thread " + who + " exports nothing named " + quoted(name) + " now"};
  if (g.imports.size() >= kMost) return {ENOSPC, "the thread has imported " + std::to_string(kMost) + " memories already"};
  memory = found->second;
  if (from.get() != &g) from->lent = true;
  g.imports.push_back({memory, from.get() == &g ? nullptr : std::move(from)});
  return {};
}

Sharing::Answer Sharing::give_back(Guest& g, void* start) {
  std::shared_ptr<Guest> last;  // let go of after the lock: its memory may go with it
  std::lock_guard hold(mutex_);
  const auto it = std::find_if(g.imports.begin(), g.imports.end(), [&](const Import& i) { return i.memory.start == start; });
  if (it == g.imports.end()) return {EINVAL, "the thread has imported nothing that begins there"};
  last = std::move(it->from);
  g.imports.erase(it);
  return {};
}

void Sharing::end(Guest& g) {
  std::vector<Import> imports;
  std::lock_guard hold(mutex_);
  g.exports.clear();
  g.shares_no_more = true;
  imports.swap(g.imports);
}

std::string Sharing::why_pinned(const Guest& g) {
  if (!g.exports.empty()) return "it exports memory as " + quoted(g.exports.begin()->first) + " to threads of this host";
  if (!g.imports.empty())
    return "it has imported memory of thread " + (g.imports.front().from ? g.imports.front().from->name() : g.name()) + ", which is on this host";
  return {};
}

}  // namespace dmi::host
