// Sockets' calls that name something: a path of AF_UNIX that is relative is so to the guest's own directory, not the host's.
#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <string>

#include "host.h"
#include "platform.h"
#include "syscalls.h"

namespace dmi::host {
namespace {

constexpr size_t kPathAt = offsetof(sockaddr_un, sun_path);

struct Given {
  const char* directory;
  long nr;
  long a[6];
  long result;
};

int call_there(void* p) {
  auto& g = *static_cast<Given*>(p);
  g.result = raw_syscall(SYS_chdir, reinterpret_cast<long>(g.directory));
  if (g.result == 0) do g.result = raw_syscall(g.nr, g.a[0], g.a[1], g.a[2], g.a[3], g.a[4], g.a[5]);
  while (g.result == -EINTR);
  return 0;
}

// By a kernel thread that has a directory of its own, and nothing else. So the name stays as it is, for getsockname and however long the
// directory's is. It has no thread-local storage: system calls and nothing else. Helper threads only: waits.
long call_in(const std::string& directory, long nr, const std::array<long, 6>& a) {
  alignas(16) char stack[16 << 10];
  Given g{directory.c_str(), nr, {a[0], a[1], a[2], a[3], a[4], a[5]}, 0};
  constexpr int kThread = CLONE_VM | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
  if (clone(call_there, stack + sizeof stack, kThread | CLONE_VFORK, &g) < 0) return -errno;
  return g.result;
}

bool is_relative(const Guest& g, uint64_t name, uint64_t size) {
  if (size <= kPathAt || size > sizeof(sockaddr_un) || !g.space.allows(name, size, PROT_READ)) return false;
  const auto* address = reinterpret_cast<const sockaddr_un*>(name);
  return address->sun_family == AF_UNIX && address->sun_path[0] != 0 && address->sun_path[0] != '/';
}

bool names_relative(const Call& c) {
  const auto arg = [&](int i) { return static_cast<uint64_t>(c.a[i]); };
  switch (c.nr) {
    case SYS_bind: case SYS_connect: return is_relative(c.guest, arg(1), static_cast<uint32_t>(arg(2)));
    case SYS_sendto: return is_relative(c.guest, arg(4), static_cast<uint32_t>(arg(5)));
    case SYS_sendmsg: {
      if (!c.guest.space.allows(arg(1), sizeof(msghdr), PROT_READ)) return false;
      const auto* m = c.ptr<const msghdr*>(1);
      return is_relative(c.guest, reinterpret_cast<uint64_t>(m->msg_name), m->msg_namelen);
    }
    default: return false;
  }
}

Next with_socket(Call& c, bool may_block) {
  const OpenFile* f = c.guest.files.get(c.fd(0));
  if (!f) return give(c, -EBADF);
  if (f->real < 0) return give(c, -ENOTSOCK);
  const long args[6] = {f->real, c.a[1], c.a[2], c.a[3], c.a[4], c.a[5]};
  if (names_relative(c))
    return offload(c, [directory = c.guest.cwd, nr = c.nr, a = std::to_array(args)] { return call_in(directory, nr, a); });
  if (may_block) return offload(c, c.nr, args);
  return give(c, raw_syscall(c.nr, args[0], args[1], args[2], args[3], args[4], args[5]));
}

}  // namespace

Next call_socket_io(Call& c) { return with_socket(c, true); }

// A socket of a name takes over the mode that it has before.
Next call_bind(Call& c) {
  const OpenFile* f = c.guest.files.get(c.fd(0));
  if (f && f->real >= 0) fchmod(f->real, 0777 & ~c.guest.umask);
  return with_socket(c, false);
}

}  // namespace dmi::host
