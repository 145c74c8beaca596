// What a thread's memory looks like, as one host tells it to another: extents, mapped files, mappings.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "address_space.h"
#include "codec.h"
#include "cpu_features.h"
#include "same_machine.h"

namespace dmi::host {

// The files whose unchanged pages need not be sent if the destination has the same content (by hash).
struct OfferedFile {
  std::string path, hash;  // hash: SHA-256, hex; empty: unknown, so nobody has the same
  uint64_t size = 0;
  std::string real;        // what to open on the source; stays there
};

struct Mapping {
  uint64_t start = 0, end = 0;
  int prot = 0;
  uint32_t file = 0;    // index + 1 in files; 0: anonymous
  uint64_t offset = 0;  // in the file, of `start`

  bool operator==(const Mapping&) const = default;
  bool same_content(const Mapping& o, uint64_t at) const;  // both show the same there: the same file at the same offset, or none
};

struct Layout {
  std::vector<Extent> extents;
  std::vector<OfferedFile> files;
  std::vector<Mapping> mappings;  // ascending, apart
};

// Of a thread at rest. Files keep their places in `known`; those that are not there follow, without a hash.
Layout layout_of(const AddressSpace& space, const std::vector<OfferedFile>& known = {});
void hash_files(Layout& layout);  // fills in the hashes that are missing; may take its time

void write_layout(Writer& w, const Layout& layout);
Layout read_layout(Reader& r);  // throws Error("refused") on anything outside the thread zone or out of order

// The first message of a move.
struct Offer {
  uint64_t id = 0;
  uint64_t thread = 0;
  uint64_t resident = 0;  // bytes that will be sent, about
  Features features;      // of the machine where it started
  Beacon beacon;
  Layout layout;
};
void write_features(Writer& w, const Features& features);
Features read_features(Reader& r);
// Throws Error("refused"): nonsense, another version or build, or an open file of the thread that is not here.
Offer read_offer(std::span<const std::byte> bytes);

// Of a layout's mappings those that lie close together, as one run each: to ask the kernel for each mapping takes longer than to ask for
// what is in between as well, but not if that is gigabytes.
std::vector<Run> neighbourhoods(const std::vector<Mapping>& mappings);

// What to do so that memory that shows `before` shows `after`: mappings to make, ranges that become reservations again, and mappings of
// which only the protection is another.
struct Remapping {
  std::vector<Mapping> map;
  std::vector<Extent> reserve;
  std::vector<Mapping> protect;
};
Remapping remapping(const std::vector<Mapping>& before, const std::vector<Mapping>& after);

}  // namespace dmi::host
