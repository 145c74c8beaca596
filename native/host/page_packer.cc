#include "page_packer.h"

#include <errno.h>
#include <lz4.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>

#include "error.h"
#include "platform.h"

namespace dmi::host {

bool PagePacker::permitted() {
  char a = 0, b = 1;
  const iovec into{&a, 1}, from{&b, 1};
  return process_vm_readv(getpid(), &into, 1, &from, 1, 0) == 1;
}

PagePacker::PagePacker() : state_(static_cast<size_t>(LZ4_sizeofState())), page_data_(kPiece) {}

size_t PagePacker::pack(uint64_t address, uint32_t size, std::vector<char>& out) {
  const iovec into{page_data_.data(), size}, from{reinterpret_cast<void*>(address), size};
  const auto got = static_cast<size_t>(std::max<ssize_t>(0, process_vm_readv(getpid(), &into, 1, &from, 1, 0)));
  memset(page_data_.data() + got, 0, size - got);
  const size_t at = out.size();
  out.resize(at + sizeof(PieceHead) + size);
  char* const body = out.data() + at + sizeof(PieceHead);
  const int most = static_cast<int>(size - size / 16);  // less saves nothing worth unpacking for
  const int packed = LZ4_compress_fast_extState(state_.data(), page_data_.data(), body, static_cast<int>(size), most, 1);
  if (packed <= 0) memcpy(body, page_data_.data(), size);
  else out.resize(at + sizeof(PieceHead) + static_cast<size_t>(packed));
  const PieceHead head{size, packed > 0 ? static_cast<uint32_t>(packed) : 0};
  memcpy(out.data() + at, &head, sizeof head);
  return got;
}

PageUnpacker::PageUnpacker() : packed_(kPiece), page_data_(kPiece) {}

bool PageUnpacker::unpack(const PieceHead& piece, uint64_t address) {
  if (piece.memory > kPiece || piece.packed > kPiece) throw Error("refused", "a compressed piece of more than 256 KiB");
  const int got = LZ4_decompress_safe(packed_.data(), page_data_.data(), static_cast<int>(piece.packed), static_cast<int>(piece.memory));
  if (got < 0 || static_cast<uint32_t>(got) != piece.memory)
    throw Error("refused", "a compressed piece that does not unpack to its " + std::to_string(piece.memory) + " bytes");
  bool all = true;
  for (size_t done = 0; done < piece.memory;) {
    const iovec from{page_data_.data() + done, piece.memory - done}, into{reinterpret_cast<void*>(address + done), piece.memory - done};
    const ssize_t n = process_vm_writev(getpid(), &from, 1, &into, 1, 0);
    if (n > 0) {
      done += static_cast<size_t>(n);
      continue;
    }
    all = false;
    if (n < 0 && errno != EFAULT) return false;
    done = page_down(done) + kPage;  // the others have
  }
  if (!all) errno = EFAULT;
  return all;
}

}  // namespace dmi::host
