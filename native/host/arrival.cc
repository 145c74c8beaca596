#include "arrival.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "error.h"
#include "file_hash.h"
#include "host.h"
#include "moves.h"
#include "platform.h"

namespace dmi::host {
namespace {
void* ptr(uint64_t a) { return reinterpret_cast<void*>(a); }
[[noreturn]] void no_memory(const std::string& what) {
  throw Error("no-memory", what + ": " + strerror(errno) + " (raise vm.max_map_count on this node)");
}
void protect(const Mapping& m, int prot) {
  if (mprotect(ptr(m.start), m.end - m.start, prot) != 0) throw Error("refused", std::string("cannot protect a mapping: ") + strerror(errno));
}
constexpr int kOpen = PROT_READ | PROT_WRITE;
constexpr uint64_t kProgram = 16 << 20;  // bytes of a program's instructions that are made ready
}  // namespace

Arrival::~Arrival() {
  for (const File& f : files_)
    if (f.fd >= 0) close(f.fd);
}

// Reserves what is not reserved yet: all extents, or by how much they have grown since.
void Arrival::reserve(const std::vector<Extent>& extents) {
  std::vector<Extent> have = space_.extents();
  for (const Extent& e : extents) {
    uint64_t from = e.base;
    auto known = std::find_if(have.begin(), have.end(), [&](const Extent& h) { return h.base == e.base; });
    if (known != have.end()) from += known->size;
    if (from >= e.base + e.size) continue;
    const Extent fresh{from, e.base + e.size - from};
    int error = reserve_at(fresh.base, fresh.size);
    if (error == EEXIST && Host::get().warm().make_way(fresh)) error = reserve_at(fresh.base, fresh.size);
    if (error == EEXIST && Host::get().moves().wait_for_leaving(fresh)) error = reserve_at(fresh.base, fresh.size);
    if (error) {
      space_.adopt(zone_, have);  // given back with the guest
      char where[64];
      snprintf(where, sizeof where, "0x%llx", static_cast<unsigned long long>(fresh.base));
      if (error == EEXIST) throw Error("collision", std::string("its addresses at ") + where + " are taken in this host");
      errno = error;
      no_memory(std::string("cannot reserve its addresses at ") + where);
    }
    if (known != have.end()) *known = e;
    else have.push_back(e);
  }
  space_.adopt(zone_, have);
}

void Arrival::open_files(const std::vector<OfferedFile>& files) {
  Host& host = Host::get();
  for (size_t i = files_.size(); i < files.size(); i++) {
    const OfferedFile& f = files[i];
    auto m = std::make_shared<MappedFile>(MappedFile{f.path, host.resolve_bundle(f.path), f.hash, f.size});
    std::string here = shown_ || f.hash.empty() ? "" : host.bundle_hash(f.path);
    if (here.empty() && !shown_ && !f.hash.empty()) here = hash_file(m->real);
    const bool same = !here.empty() && here == f.hash;
    files_.push_back({m, same ? open(m->real.c_str(), O_RDONLY | O_CLOEXEC) : -1});
  }
}

std::vector<bool> Arrival::present() const {
  std::vector<bool> all;
  for (const File& f : files_) all.push_back(f.fd >= 0);
  return all;
}

void Arrival::show(const Layout& layout) {
  reserve(layout.extents);
  open_files(layout.files);
  const Remapping todo = remapping(mappings_, layout.mappings);
  for (const Extent& e : todo.reserve)
    if (mmap(ptr(e.base), e.size, PROT_NONE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED)
      no_memory("cannot give back " + std::to_string(e.size) + " bytes of the thread");
  for (const Mapping& m : todo.map) {
    const int fd = m.file ? files_[m.file - 1].fd : -1;
    const int flags = MAP_FIXED | MAP_PRIVATE | (fd < 0 ? MAP_ANONYMOUS | MAP_NORESERVE : 0);
    if (mmap(ptr(m.start), m.end - m.start, m.prot, flags, fd, fd < 0 ? 0 : static_cast<off_t>(m.offset)) == MAP_FAILED)
      no_memory("cannot map " + std::to_string(m.end - m.start) + " bytes of the thread");
    // While the thread still runs over there: here each of its first steps would be a page fault.
    if (fd >= 0 && (m.prot & PROT_EXEC)) madvise(ptr(m.start), std::min(m.end - m.start, kProgram), MADV_POPULATE_READ);
  }
  for (const Mapping& m : todo.protect) protect(m, m.prot);
  mappings_ = layout.mappings;
  shown_ = true;
}

void Arrival::open_up(const Run& run) {
  auto m = std::upper_bound(mappings_.begin(), mappings_.end(), run.start, [](uint64_t a, const Mapping& x) { return a < x.end; });
  for (; m != mappings_.end() && m->start < run.start + run.size; m++) {
    const auto index = static_cast<size_t>(m - mappings_.begin());
    if ((m->prot & kOpen) == kOpen || std::find(opened_.begin(), opened_.end(), index) != opened_.end()) continue;
    protect(*m, kOpen);
    opened_.push_back(index);
  }
}

void Arrival::protect_again() {
  for (const size_t i : opened_) protect(mappings_[i], mappings_[i].prot);
  opened_.clear();
}

bool Arrival::covers(const Run& run) const {
  uint64_t at = run.start;
  auto m = std::upper_bound(mappings_.begin(), mappings_.end(), at, [](uint64_t a, const Mapping& x) { return a < x.end; });
  for (; at < run.start + run.size; at = m->end, m++)
    if (m == mappings_.end() || m->start > at) return false;
  return true;
}

void Arrival::drop(const std::vector<Run>& runs) {
  for (const Run& r : runs) {
    if (((r.start | r.size) & (kPage - 1)) || !space_.contains(r.start, r.size)) throw Error("refused", "a run of pages outside the thread's own memory");
    if (covers(r)) madvise(ptr(r.start), r.size, MADV_DONTNEED);
  }
}

void Arrival::finish() {
  protect_again();
  for (const Mapping& m : mappings_) {
    Area a;
    a.end = m.end;
    a.prot = m.prot;
    if (m.file && files_[m.file - 1].fd >= 0) a.file = files_[m.file - 1].file, a.offset = m.offset;
    // Otherwise its bytes came over the wire, and it is anonymous from now on.
    space_.note(m.start, std::move(a));
  }
}

}  // namespace dmi::host
