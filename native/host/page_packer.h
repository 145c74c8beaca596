// Compressed pieces of page data in a move (lz4). The source's pages may change or disappear while they are read, and the destination may
// lack a place for some: both are copied by the kernel, which says so, and never touched here.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace dmi::host {

constexpr uint32_t kPiece = 256 << 10;  // bytes of memory in a compressed piece, at most

// Ahead of a piece's bytes.
struct PieceHead {
  uint32_t memory = 0;  // bytes, whole pages
  uint32_t packed = 0;  // bytes that follow; 0: `memory` bytes follow as they are
};

class PagePacker {
 public:
  static bool permitted();  // by the kernel and what it is told to forbid
  PagePacker();
  // Appends a piece, [address, address + size), compressed if that makes it smaller. Gives how many of its bytes could be read; the rest
  // arrive as zeros.
  size_t pack(uint64_t address, uint32_t size, std::vector<char>& out);

 private:
  std::vector<char> state_, page_data_;
};

// Where a compressed piece comes in: `packed` bytes are received into room(), then unpacked to their place.
class PageUnpacker {
 public:
  PageUnpacker();
  char* room() { return packed_.data(); }
  // Throws Error("refused") unless exactly the piece comes out. False: errno says why not all of it has a place.
  bool unpack(const PieceHead& piece, uint64_t address);

 private:
  std::vector<char> packed_, page_data_;
};

}  // namespace dmi::host
