// Address-space system calls: everything happens inside the thread's own region.
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "file_hash.h"
#include "host.h"
#include "platform.h"
#include "syscalls.h"

namespace dmi::host {

Next call_brk(Call& c) { return give(c, c.guest.space.brk(static_cast<uint64_t>(c.a[0]))); }

Next call_mmap(Call& c) {
  int flags = static_cast<int>(c.a[3]);
  int fd = -1;
  std::shared_ptr<MappedFile> file;
  if (!(flags & MAP_ANONYMOUS)) {
    const OpenFile* f = c.guest.files.get(c.fd(4));
    if (!f || f->real < 0) return give(c, -EBADF);
    c.guest.pins_changed |= (flags & MAP_TYPE) != MAP_PRIVATE;
    fd = f->real;
    file = std::make_shared<MappedFile>();
    file->path = f->path;
    file->real = Host::get().resolve_bundle(f->path);
    file->hash = Host::get().bundle_hash(f->path);
    struct stat st;
    if (fstat(fd, &st) != 0) return give(c, -EBADF);
    file->size = static_cast<uint64_t>(st.st_size);
    if (S_ISCHR(st.st_mode)) {
      if (st.st_rdev != makedev(1, 5)) return give(c, -ENODEV);  // another device's memory could not move
      file = nullptr;                                            // /dev/zero: another name for anonymous memory
      flags |= MAP_ANONYMOUS;
    }
    // A move compares files by content; the hash is made ready now, so that no thread stands still for it.
    if (file && file->hash.empty() && (c.a[2] & PROT_EXEC)) run_in_helper([real = file->real] { hash_file(real); });
  }
  return give(c, c.guest.space.map(static_cast<uint64_t>(c.a[0]), static_cast<uint64_t>(c.a[1]), static_cast<int>(c.a[2]), flags, fd,
                                   static_cast<uint64_t>(c.a[5]), std::move(file)));
}

Next call_munmap(Call& c) { return give(c, c.guest.space.unmap(static_cast<uint64_t>(c.a[0]), static_cast<uint64_t>(c.a[1]))); }

Next call_mprotect(Call& c) {
  return give(c, c.guest.space.protect(static_cast<uint64_t>(c.a[0]), static_cast<uint64_t>(c.a[1]), static_cast<int>(c.a[2])));
}

Next call_mremap(Call& c) {
  return give(c, c.guest.space.remap(static_cast<uint64_t>(c.a[0]), static_cast<uint64_t>(c.a[1]), static_cast<uint64_t>(c.a[2]),
                                     static_cast<int>(c.a[3]), static_cast<uint64_t>(c.a[4])));
}

Next call_madvise(Call& c) {
  return give(c, c.guest.space.advise(static_cast<uint64_t>(c.a[0]), static_cast<uint64_t>(c.a[1]), static_cast<int>(c.a[2])));
}

Next call_mincore(Call& c) {
  // A program that asks about the gate page (libdmi does) may; everything else must be its own.
  if (static_cast<uint64_t>(c.a[0]) != DMI_GATE_ADDRESS && !c.guest.space.contains(static_cast<uint64_t>(c.a[0]), static_cast<uint64_t>(c.a[1])))
    return give(c, -ENOMEM);
  return pass(c);
}

}  // namespace dmi::host
