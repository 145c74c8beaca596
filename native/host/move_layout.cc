#include "move_layout.h"

#include <algorithm>

#include "error.h"
#include "file_hash.h"
#include "host.h"
#include "layout.h"
#include "move_wire.h"
#include "platform.h"

namespace dmi::host {

bool Mapping::same_content(const Mapping& o, uint64_t at) const {
  return file == o.file && (file == 0 || offset + (at - start) == o.offset + (at - o.start));
}

Layout layout_of(const AddressSpace& space, const std::vector<OfferedFile>& known) {
  Layout l;
  l.extents = space.extents();
  l.files = known;
  for (const auto& [start, a] : space.areas()) {
    Mapping m{start, a.end, a.prot, 0, a.offset};
    if (a.file) {
      auto it = std::find_if(l.files.begin(), l.files.end(), [&path = a.file->path](const OfferedFile& f) { return f.path == path; });
      if (it == l.files.end()) it = l.files.insert(it, {a.file->path, known.empty() ? a.file->hash : "", a.file->size, a.file->real});
      m.file = static_cast<uint32_t>(it - l.files.begin()) + 1;
    }
    l.mappings.push_back(m);
  }
  return l;
}

void hash_files(Layout& layout) {
  for (OfferedFile& f : layout.files)
    if (f.hash.empty()) f.hash = hash_file(f.real);
}

void write_layout(Writer& w, const Layout& l) {
  w.num<uint64_t>(l.extents.size());
  for (const Extent& e : l.extents) w.num(e.base), w.num(e.size);
  w.num<uint64_t>(l.files.size());
  for (const OfferedFile& f : l.files) w.text(f.path), w.text(f.hash), w.num(f.size);
  w.num<uint64_t>(l.mappings.size());
  for (const Mapping& m : l.mappings) w.num(m.start), w.num(m.end), w.num(m.prot), w.num(m.file), w.num(m.offset);
}

Layout read_layout(Reader& r) {
  Layout l;
  l.extents.resize(r.count(16));
  for (Extent& e : l.extents) {
    e.base = r.num<uint64_t>(), e.size = r.num<uint64_t>();
    if (((e.base | e.size) & (kPage - 1)) || e.size == 0 || e.base < kZoneLow || e.base >= kZoneHigh || e.size > kZoneHigh - e.base)
      throw Error("refused", "an extent outside the thread zone in the offer");
  }
  l.files.resize(r.count(24));
  for (OfferedFile& f : l.files) f.path = r.text(), f.hash = r.text(), f.size = r.num<uint64_t>();
  const uint64_t count = r.count(32);
  uint64_t last = 0;
  for (uint64_t i = 0; i < count && r.ok(); i++) {
    Mapping m;
    m.start = r.num<uint64_t>(), m.end = r.num<uint64_t>(), m.prot = r.num<int>(), m.file = r.num<uint32_t>(), m.offset = r.num<uint64_t>();
    const bool inside = std::any_of(l.extents.begin(), l.extents.end(), [&](const Extent& e) {
      return m.start >= e.base && m.end <= e.base + e.size;
    });
    if (!r.ok() || !inside || m.start < last || m.end <= m.start || ((m.start | m.end | m.offset) & (kPage - 1)) ||
        m.file > l.files.size() || (m.prot & ~7))
      throw Error("refused", "a malformed mapping in the offer");
    last = m.end;
    l.mappings.push_back(m);
  }
  if (!r.ok()) throw Error("refused", "a truncated offer");
  return l;
}

void write_features(Writer& w, const Features& features) {
  w.num<uint64_t>(features.size());
  for (const std::string& f : features) w.text(f);
}

Features read_features(Reader& r) {
  Features all(r.count(8));
  for (std::string& f : all) f = r.text();
  if (!r.ok() || !std::is_sorted(all.begin(), all.end())) throw Error("refused", "a malformed list of processor features in the offer");
  return all;
}

Offer read_offer(std::span<const std::byte> bytes) {
  Reader r(bytes);
  if (const auto wire = r.num<uint32_t>(); wire != kMoveWire)
    throw Error("refused", "the source speaks move wire version " + std::to_string(wire) + ", this host " + std::to_string(kMoveWire));
  Offer offer;
  offer.id = r.num<uint64_t>();
  const std::string build = r.text();
  if (build != Host::get().build())
    throw Error("refused", "the source is another build of dmi-host (" + build.substr(0, 12) + ", here " + Host::get().build().substr(0, 12) +
                               "): threads move only between equal builds");
  offer.thread = r.num<uint64_t>();
  offer.resident = r.num<uint64_t>();
  offer.features = read_features(r);
  offer.beacon = Beacon::load(r);
  Descriptors().load(r);  // opened for good with the thread: to know now that they can be
  offer.layout = read_layout(r);
  if (offer.layout.mappings.empty()) throw Error("refused", "an offer of a thread without memory");
  return offer;
}

std::vector<Run> neighbourhoods(const std::vector<Mapping>& mappings) {
  constexpr uint64_t kApart = 2 << 20;  // bytes: what one page of page tables covers
  std::vector<Run> all;
  for (const Mapping& m : mappings) {
    if (all.empty() || m.start - (all.back().start + all.back().size) > kApart) all.push_back({m.start, 0});
    all.back().size = m.end - all.back().start;
  }
  return all;
}

Remapping remapping(const std::vector<Mapping>& before, const std::vector<Mapping>& after) {
  Remapping result;
  if (before == after) return result;
  // Borders of both cut the addresses into stretches on which neither changes.
  std::vector<uint64_t> borders;
  for (const auto* list : {&before, &after})
    for (const Mapping& m : *list) borders.push_back(m.start), borders.push_back(m.end);
  std::sort(borders.begin(), borders.end());
  borders.erase(std::unique(borders.begin(), borders.end()), borders.end());
  auto b = before.begin();
  auto a = after.begin();
  for (size_t i = 0; i + 1 < borders.size(); i++) {
    const uint64_t start = borders[i], end = borders[i + 1];
    while (b != before.end() && b->end <= start) b++;
    while (a != after.end() && a->end <= start) a++;
    const bool was = b != before.end() && b->start <= start, is = a != after.end() && a->start <= start;
    if (is) {
      const bool same = was && b->same_content(*a, start);
      if (same && b->prot == a->prot) continue;
      Mapping m = *a;
      m.offset += start - m.start;
      m.start = start, m.end = end;
      (same ? result.protect : result.map).push_back(m);
    } else if (was) {
      result.reserve.push_back({start, end - start});
    }
  }
  return result;
}

}  // namespace dmi::host
