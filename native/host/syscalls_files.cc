// Descriptors and paths: the guest's own numbers, its own working directory, and the bundle of shipped files.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <termios.h>

#include "host.h"
#include "platform.h"
#include "syscalls.h"

namespace dmi::host {
namespace {

bool console(const OpenFile* f) { return f->kind == FileKind::Input || f->kind == FileKind::Output || f->kind == FileKind::Error; }
bool may_block(const OpenFile* f) { return f->kind == FileKind::Pinned; }

// `offloads`: it may block on what may block (sockets, pipes); `always`: on anything (locks).
Next with_fd(Call& c, int arg, bool offloads, bool always = false) {
  const OpenFile* f = c.guest.files.get(c.fd(arg));
  if (!f) return give(c, -EBADF);
  if (f->real < 0) return give(c, -ESPIPE);
  long args[6];
  std::copy(c.a, c.a + 6, args);
  args[arg] = f->real;
  if (offloads && (always || may_block(f))) return offload(c, c.nr, args);
  return give(c, raw_syscall(c.nr, args[0], args[1], args[2], args[3], args[4], args[5]));
}

// Takes the host's descriptor `real` into the guest's table: its number there. An error passes through.
long take_in(Guest& g, long real, std::string path, int flags, const char* what) {
  if (real < 0) return real;
  auto f = std::make_shared<OpenFile>();
  f->real = static_cast<int>(real);
  f->path = std::move(path);
  f->flags = flags;
  f->what = what;
  struct stat st;
  if (fstat(f->real, &st) == 0 && !f->path.empty())
    f->kind = S_ISREG(st.st_mode) ? FileKind::Regular : S_ISDIR(st.st_mode) ? FileKind::Directory
              : S_ISCHR(st.st_mode) ? FileKind::Device : FileKind::Pinned;
  g.pins_changed |= f->kind == FileKind::Pinned;
  return g.files.add(std::move(f), flags & O_CLOEXEC);
}
Next adopt(Call& c, long real, std::string path, int flags, const char* what) {
  return give(c, take_in(c.guest, real, std::move(path), flags, what));
}

// What to open here for a path of the guest.
std::string real_path(const std::string& path) { return Host::get().resolve_bundle(path); }

// Paths that name one of the guest's own descriptors; to the kernel they would name the host's. -1: it is no such path.
int named_descriptor(const std::string& path) {
  constexpr const char* kStandard[] = {"/dev/stdin", "/dev/stdout", "/dev/stderr"};
  for (int i = 0; i < 3; i++)
    if (path == kStandard[i]) return i;
  for (const std::string directory : {"/dev/fd/", "/proc/self/fd/"}) {
    if (!path.starts_with(directory) || path.size() == directory.size() || path.size() > directory.size() + 4) continue;
    const std::string number = path.substr(directory.size());
    if (number.find_first_not_of("0123456789") == std::string::npos) return std::stoi(number);
  }
  return -1;
}

Next open_path(Call& c, std::string path, int flags, long mode) {
  if (const int fd = named_descriptor(path); fd >= 0) {
    const Descriptors::Slot* s = c.guest.files.slot(fd);
    if (!s) return give(c, -ENOENT);
    if (console(s->file.get())) return give(c, c.guest.files.add(s->file, flags & O_CLOEXEC));
    path = s->file->path.empty() ? "/proc/self/fd/" + std::to_string(s->file->real) : s->file->path;
  }
  const std::string real = real_path(path);
  if (flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) mode &= ~c.guest.umask;
  const auto open_it = [real, flags, mode] {
    return raw_syscall(SYS_openat, AT_FDCWD, reinterpret_cast<long>(real.c_str()), flags | O_CLOEXEC, mode);
  };
  struct stat st;
  if (!(flags & (O_NONBLOCK | O_PATH)) && stat(real.c_str(), &st) == 0 && S_ISFIFO(st.st_mode))  // waits for the other end
    return offload(c, [&g = c.guest, open_it, path, flags] {
      long fd;
      do fd = open_it();
      while (fd == -EINTR);
      return take_in(g, fd, path, flags, "named pipe");
    });
  return adopt(c, open_it(), path, flags, "file");
}

// Input is a pipe; output a terminal: programs then write line by line.
mode_t console_mode(const OpenFile* f) { return f->kind == FileKind::Input ? S_IFIFO | 0600 : S_IFCHR | 0620; }

void console_stat(const OpenFile* f, struct stat* st) {
  memset(st, 0, sizeof *st);
  st->st_mode = console_mode(f);
  st->st_rdev = f->kind == FileKind::Input ? 0 : makedev(136, 0);
  st->st_nlink = 1;
  st->st_blksize = f->kind == FileKind::Input ? 4096 : 1024;
}


}  // namespace

bool path_at(Call& c, int dir_arg, int path_arg, std::string& path) {
  if (!guest_string(c.guest, c.ptr<void*>(path_arg), path)) return c.result = -EFAULT, false;
  if (path.empty()) return c.result = -ENOENT, false;
  if (path[0] != '/') {
    std::string base = c.guest.cwd;
    if (dir_arg >= 0 && c.fd(dir_arg) != AT_FDCWD) {
      const OpenFile* d = c.guest.files.get(c.fd(dir_arg));
      if (!d) return c.result = -EBADF, false;
      if (d->kind != FileKind::Directory) return c.result = -ENOTDIR, false;
      base = d->path;
    }
    path = (base == "/" ? base : base + "/") + path;
  }
  return true;
}

Next call_openat(Call& c) {
  std::string path;
  return path_at(c, 0, 1, path) ? open_path(c, path, static_cast<int>(c.a[2]), c.a[3]) : Next::Continue;
}
Next call_open(Call& c) {
  std::string path;
  return path_at(c, -1, 0, path) ? open_path(c, path, static_cast<int>(c.a[1]), c.a[2]) : Next::Continue;
}
Next call_creat(Call& c) {
  std::string path;
  return path_at(c, -1, 0, path) ? open_path(c, path, O_CREAT | O_WRONLY | O_TRUNC, c.a[1]) : Next::Continue;
}
Next call_close(Call& c) { return give(c, c.guest.files.close(c.fd(0))); }

Next call_close_range(Call& c) {
  const auto last = std::min<unsigned long>(static_cast<unsigned long>(c.a[1]), static_cast<unsigned long>(c.guest.files.count()));
  for (auto i = static_cast<unsigned long>(c.a[0]); i <= last; i++) c.guest.files.close(static_cast<int>(i));
  return give(c, 0);
}

static Next duplicate(Call& c, int fd, int at, bool exact, bool cloexec) {
  Descriptors::Slot* s = c.guest.files.slot(fd);
  if (!s) return give(c, -EBADF);
  auto file = s->file;
  return give(c, exact ? c.guest.files.put(at, std::move(file), cloexec) : c.guest.files.add(std::move(file), cloexec, at));
}
Next call_dup(Call& c) { return duplicate(c, c.fd(0), 0, false, false); }
Next call_dup2(Call& c) {
  if (c.a[0] == c.a[1]) return give(c, c.guest.files.get(c.fd(0)) ? c.a[0] : -EBADF);
  return duplicate(c, c.fd(0), c.fd(1), true, false);
}
Next call_dup3(Call& c) {
  if (c.a[0] == c.a[1]) return give(c, -EINVAL);
  return duplicate(c, c.fd(0), c.fd(1), true, c.a[2] & O_CLOEXEC);
}

// A process-wide lock would not keep apart two guests of one host: all are locks of the open file.
static Next lock_range(Call& c, OpenFile& f) {
  if (!writable(c, 2, sizeof(struct flock))) return give(c, -EFAULT);
  auto* l = c.ptr<struct flock*>(2);
  const long as_given = c.a[1];
  if (as_given == F_GETLK || as_given == F_SETLK || as_given == F_SETLKW) {
    c.a[1] = as_given == F_GETLK ? F_OFD_GETLK : as_given == F_SETLK ? F_OFD_SETLK : F_OFD_SETLKW;
    l->l_pid = 0;
  }
  if (c.a[1] == F_OFD_GETLK) return with_fd(c, 0, false);
  c.guest.pins_changed = true;
  const bool unlock = l->l_type == F_UNLCK, whole = l->l_whence == SEEK_SET && l->l_start == 0 && l->l_len == 0;
  if (!unlock && c.a[1] == F_OFD_SETLKW) {
    f.locked = true;
    return with_fd(c, 0, true, true);
  }
  const Next next = with_fd(c, 0, false);
  if (c.result == 0 && (!unlock || whole)) f.locked = !unlock;
  return next;
}

Next call_fcntl(Call& c) {
  Descriptors::Slot* s = c.guest.files.slot(c.fd(0));
  if (!s) return give(c, -EBADF);
  switch (c.a[1]) {
    case F_DUPFD: return duplicate(c, c.fd(0), c.fd(2), false, false);
    case F_DUPFD_CLOEXEC: return duplicate(c, c.fd(0), c.fd(2), false, true);
    case F_GETFD: return give(c, s->close_on_exec ? FD_CLOEXEC : 0);
    case F_SETFD: s->close_on_exec = c.a[2] & FD_CLOEXEC; return give(c, 0);
    case F_GETFL: if (console(s->file.get())) return give(c, s->file->flags); break;
    case F_SETFL: {  // kept for a move: the file is opened again with what holds now
      constexpr int kChangeable = O_APPEND | O_NONBLOCK | O_NOATIME | O_DIRECT | O_ASYNC;
      s->file->flags = (s->file->flags & ~kChangeable) | (static_cast<int>(c.a[2]) & kChangeable);
      break;
    }
    case F_GETLK: case F_SETLK: case F_SETLKW: case F_OFD_GETLK: case F_OFD_SETLK: case F_OFD_SETLKW: return lock_range(c, *s->file);
    default: break;
  }
  if (console(s->file.get())) return give(c, 0);
  return with_fd(c, 0, false);
}

Next call_flock(Call& c) {
  Descriptors::Slot* s = c.guest.files.slot(c.fd(0));
  if (!s) return give(c, -EBADF);
  c.guest.pins_changed = true;
  const bool unlock = (c.a[1] & ~LOCK_NB) == LOCK_UN;
  if (!unlock && !(c.a[1] & LOCK_NB)) {
    s->file->locked = true;
    return with_fd(c, 0, true, true);
  }
  const Next next = with_fd(c, 0, false);
  if (c.result == 0) s->file->locked = !unlock;
  return next;
}

Next call_ioctl(Call& c) {
  const OpenFile* f = c.guest.files.get(c.fd(0));
  if (!f) return give(c, -EBADF);
  if (!console(f)) return with_fd(c, 0, false);
  if (f->kind == FileKind::Output && c.a[1] == TCGETS) {
    if (!writable(c, 2, 36)) return give(c, -EFAULT);
    memset(c.ptr<void*>(2), 0, 36);  // the kernel's struct termios
    return give(c, 0);
  }
  if (f->kind == FileKind::Input && c.a[1] == FIONREAD) {
    if (!writable(c, 2, sizeof(int))) return give(c, -EFAULT);
    *c.ptr<int*>(2) = static_cast<int>(input_left(c.guest));
    return give(c, 0);
  }
  return give(c, -ENOTTY);
}

Next call_read(Call& c) {
  const OpenFile* f = c.guest.files.get(c.fd(0));
  if (f && f->kind == FileKind::Input) {
    const iovec to{c.ptr<void*>(1), static_cast<size_t>(c.a[2])};
    return read_input(c, *f, &to, 1);
  }
  if (f && console(f)) return give(c, -EBADF);
  return with_fd(c, 0, true);
}
Next call_readv(Call& c) {
  const OpenFile* f = c.guest.files.get(c.fd(0));
  if (!f || f->kind != FileKind::Input) return call_read(c);
  if (c.a[2] < 0 || c.a[2] > 1024) return give(c, -EINVAL);
  if (!readable(c, 1, static_cast<size_t>(c.a[2]) * sizeof(iovec))) return give(c, -EFAULT);
  return read_input(c, *f, c.ptr<const iovec*>(1), static_cast<size_t>(c.a[2]));
}

Next call_write(Call& c) {
  const OpenFile* f = c.guest.files.get(c.fd(0));
  if (!f || f->kind == FileKind::Input) return give(c, -EBADF);
  if (!console(f)) return with_fd(c, 0, true);
  const auto size = static_cast<size_t>(c.a[2]);
  if (!readable(c, 1, size)) return give(c, -EFAULT);
  Host::get().output().write(c.guest.key, f->kind == FileKind::Output ? 1 : 2, c.ptr<const char*>(1), size);
  return give(c, c.a[2]);
}

Next call_writev(Call& c) {
  const OpenFile* f = c.guest.files.get(c.fd(0));
  if (!f || f->kind == FileKind::Input) return give(c, -EBADF);
  if (!console(f)) return with_fd(c, 0, true);
  if (c.a[2] < 0 || c.a[2] > 1024) return give(c, -EINVAL);
  if (!readable(c, 1, static_cast<size_t>(c.a[2]) * sizeof(iovec))) return give(c, -EFAULT);
  std::string all;
  for (long i = 0; i < c.a[2]; i++) {
    const iovec& v = c.ptr<const iovec*>(1)[i];
    if (v.iov_len == 0) continue;
    if (!c.guest.space.allows(reinterpret_cast<uint64_t>(v.iov_base), v.iov_len, PROT_READ)) return give(c, -EFAULT);
    all.append(static_cast<const char*>(v.iov_base), v.iov_len);
  }
  Host::get().output().write(c.guest.key, f->kind == FileKind::Output ? 1 : 2, all.data(), all.size());
  return give(c, static_cast<long>(all.size()));
}

Next call_fd(Call& c) { return with_fd(c, 0, false); }

Next call_fd_pair(Call& c) {
  const OpenFile *out = c.guest.files.get(c.fd(0)), *in = c.guest.files.get(c.fd(1));
  if (!out || !in) return give(c, -EBADF);
  if (out->real < 0 || in->real < 0) return give(c, -EINVAL);  // the C library falls back to read and write
  return give(c, raw_syscall(c.nr, out->real, in->real, c.a[2], c.a[3]));
}

Next call_fstat(Call& c) {
  const OpenFile* f = c.guest.files.get(c.fd(0));
  if (f && console(f)) {
    if (!writable(c, 1, sizeof(struct stat))) return give(c, -EFAULT);
    console_stat(f, c.ptr<struct stat*>(1));
    return give(c, 0);
  }
  return with_fd(c, 0, false);
}

Next call_statat(Call& c) {
  const int flags = static_cast<int>(c.nr == SYS_statx ? c.a[2] : c.a[3]);
  std::string path;
  if (!guest_string(c.guest, c.ptr<void*>(1), path)) return give(c, -EFAULT);
  if (path.empty() && (flags & AT_EMPTY_PATH) && c.fd(0) != AT_FDCWD) {
    const OpenFile* f = c.guest.files.get(c.fd(0));
    if (f && console(f)) {
      if (c.nr == SYS_statx) {
        if (!writable(c, 4, sizeof(struct statx))) return give(c, -EFAULT);
        auto* sx = c.ptr<struct statx*>(4);
        memset(sx, 0, sizeof *sx);
        sx->stx_mask = STATX_TYPE | STATX_MODE;
        sx->stx_mode = static_cast<uint16_t>(console_mode(f));
        return give(c, 0);
      }
      if (!writable(c, 2, sizeof(struct stat))) return give(c, -EFAULT);
      console_stat(f, c.ptr<struct stat*>(2));
      return give(c, 0);
    }
    return with_fd(c, 0, false);
  }
  if (path.empty()) return give(c, -ENOENT);
  return call_path_at(c);
}

Next call_umask(Call& c) {
  const long before = c.guest.umask;
  c.guest.umask = static_cast<uint32_t>(c.a[0]) & 0777;
  return give(c, before);
}
Next call_mkdir(Call& c) {
  const bool at = c.nr == SYS_mkdirat;
  std::string path;
  if (!path_at(c, at ? 0 : -1, at ? 1 : 0, path)) return Next::Continue;
  path = real_path(path);
  return give(c, raw_syscall(SYS_mkdir, reinterpret_cast<long>(path.c_str()), c.a[at ? 2 : 1] & ~static_cast<long>(c.guest.umask)));
}
Next call_path(Call& c) {
  std::string path;
  if (!path_at(c, -1, 0, path)) return Next::Continue;
  path = real_path(path);
  return give(c, raw_syscall(c.nr, reinterpret_cast<long>(path.c_str()), c.a[1], c.a[2], c.a[3], c.a[4], c.a[5]));
}

Next call_path_at(Call& c) {
  if (c.a[1] == 0) return c.nr == SYS_utimensat ? with_fd(c, 0, false) : give(c, -EFAULT);
  std::string path;
  if (!path_at(c, 0, 1, path)) return Next::Continue;
  path = real_path(path);
  return give(c, raw_syscall(c.nr, AT_FDCWD, reinterpret_cast<long>(path.c_str()), c.a[2], c.a[3], c.a[4], c.a[5]));
}

Next call_two_paths(Call& c) {
  std::string from, to;
  if (c.nr == SYS_symlink ? !guest_string(c.guest, c.ptr<void*>(0), from) : !path_at(c, -1, 0, from)) return Next::Continue;
  if (!path_at(c, -1, 1, to)) return Next::Continue;
  return give(c, raw_syscall(c.nr, reinterpret_cast<long>(from.c_str()), reinterpret_cast<long>(to.c_str())));
}

Next call_two_paths_at(Call& c) {
  std::string from, to;
  if (!path_at(c, 0, 1, from) || !path_at(c, 2, 3, to)) return Next::Continue;
  return give(c, raw_syscall(c.nr, AT_FDCWD, reinterpret_cast<long>(from.c_str()), AT_FDCWD, reinterpret_cast<long>(to.c_str()), c.a[4]));
}

Next call_symlinkat(Call& c) {
  std::string target, path;
  if (!guest_string(c.guest, c.ptr<void*>(0), target)) return give(c, -EFAULT);
  if (!path_at(c, 1, 2, path)) return Next::Continue;
  return give(c, raw_syscall(c.nr, reinterpret_cast<long>(target.c_str()), AT_FDCWD, reinterpret_cast<long>(path.c_str())));
}

static Next read_link(Call& c, const std::string& path, int buffer_arg) {
  const long size = c.a[buffer_arg + 1];
  if (size <= 0) return give(c, -EINVAL);
  if (path == "/proc/self/exe") {
    const std::string& name = Host::get().config().program;
    if (!writable(c, buffer_arg, static_cast<size_t>(size))) return give(c, -EFAULT);
    const size_t n = std::min(name.size(), static_cast<size_t>(size));
    memcpy(c.ptr<char*>(buffer_arg), name.data(), n);
    return give(c, static_cast<long>(n));
  }
  return give(c, raw_syscall(SYS_readlinkat, AT_FDCWD, reinterpret_cast<long>(path.c_str()), c.a[buffer_arg], size));
}
Next call_readlink(Call& c) {
  std::string path;
  return path_at(c, -1, 0, path) ? read_link(c, path, 1) : Next::Continue;
}
Next call_readlinkat(Call& c) {
  std::string path;
  return path_at(c, 0, 1, path) ? read_link(c, path, 2) : Next::Continue;
}

static Next enter_directory(Call& c, const std::string& path) {
  char real[PATH_MAX];
  struct stat st;
  if (!realpath(path.c_str(), real) || stat(real, &st) != 0) return give(c, -errno);
  if (!S_ISDIR(st.st_mode)) return give(c, -ENOTDIR);
  c.guest.cwd = real;
  return give(c, 0);
}
Next call_chdir(Call& c) {
  std::string path;
  return path_at(c, -1, 0, path) ? enter_directory(c, path) : Next::Continue;
}
Next call_fchdir(Call& c) {
  const OpenFile* d = c.guest.files.get(c.fd(0));
  return d ? enter_directory(c, d->path) : give(c, -EBADF);
}
Next call_getcwd(Call& c) {
  const std::string& cwd = c.guest.cwd;
  if (static_cast<size_t>(c.a[1]) < cwd.size() + 1) return give(c, -ERANGE);
  if (!writable(c, 0, cwd.size() + 1)) return give(c, -EFAULT);
  memcpy(c.ptr<char*>(0), cwd.c_str(), cwd.size() + 1);
  return give(c, static_cast<long>(cwd.size()) + 1);
}

// ---- kernel objects that pin the thread ----------------------------------------------------------------------------

Next call_new_fd(Call& c) {
  const char* what = c.nr == SYS_socket ? "socket" : c.nr == SYS_eventfd2 ? "eventfd" : c.nr == SYS_timerfd_create ? "timerfd"
                     : c.nr == SYS_epoll_create1 ? "epoll instance" : c.nr == SYS_memfd_create ? "memory file" : "inotify instance";
  return adopt(c, raw_syscall(c.nr, c.a[0], c.a[1], c.a[2]), "", 0, what);
}

static Next adopt_pair(Call& c, int (&fds)[2], int out_arg, const char* what) {
  if (!writable(c, out_arg, sizeof fds)) return ::close(fds[0]), ::close(fds[1]), give(c, -EFAULT);
  for (int i = 0; i < 2; i++) {
    adopt(c, fds[i], "", 0, what);
    c.ptr<int*>(out_arg)[i] = static_cast<int>(c.result);
  }
  return give(c, 0);
}
Next call_pipe(Call& c) {
  int fds[2];
  return ::pipe2(fds, O_CLOEXEC) ? give(c, -errno) : adopt_pair(c, fds, 0, "pipe");
}
Next call_pipe2(Call& c) {
  int fds[2];
  return ::pipe2(fds, static_cast<int>(c.a[1])) ? give(c, -errno) : adopt_pair(c, fds, 0, "pipe");
}
Next call_socketpair(Call& c) {
  int fds[2];
  const long r = raw_syscall(SYS_socketpair, c.a[0], c.a[1], c.a[2], reinterpret_cast<long>(fds));
  return r < 0 ? give(c, r) : adopt_pair(c, fds, 3, "socket");
}
Next call_accept(Call& c) { return call_refuse(c); }

Next call_epoll_ctl(Call& c) { return call_refuse(c); }
Next call_epoll_wait(Call& c) { return call_refuse(c); }

}  // namespace dmi::host
