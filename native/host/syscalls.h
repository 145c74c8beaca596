// The policy: what each system call of a guest means in a host. One table (syscalls.cc), grouped handlers behind it.
#pragma once
#include <sys/mman.h>
#include <sys/uio.h>

#include <functional>

#include "guest.h"
#include "scheduler.h"

namespace dmi::host {

// One dispatched system call: arguments as the kernel would get them.
struct Call {
  Worker& worker;
  Guest& guest;
  long nr;
  long a[6];
  SystemCall& at;
  long result = 0;

  template <class T>
  T ptr(int i) const { return reinterpret_cast<T>(a[i]); }
  int fd(int i) const { return static_cast<int>(a[i]); }
};
using Handler = Next (*)(Call&);

// Worker only: serves a system call; its result goes to guest.context.result.
Next system_call(Worker& w, Guest& g, SystemCall& call);

// ---- for handlers
inline Next give(Call& c, long result) {
  c.result = result;
  return Next::Continue;
}
// Where an argument points the guest has memory for so many bytes, which the host may touch on its behalf.
inline bool readable(const Call& c, int arg, size_t size) { return c.guest.space.allows(static_cast<uint64_t>(c.a[arg]), size, PROT_READ); }
inline bool writable(const Call& c, int arg, size_t size) { return c.guest.space.allows(static_cast<uint64_t>(c.a[arg]), size, PROT_WRITE); }
Next pass(Call& c);  // to the kernel as it is
// Runs `nr` with `args` in a helper thread, the guest waiting at rest; it gets the kernel's result.
Next offload(Call& c, long nr, const long (&args)[6]);
// The same for any work that gives a result or -errno. `work` may change what belongs to the guest.
Next offload(Call& c, std::function<long()> work);
// A NUL-terminated string of the guest, made absolute with its working directory. False: c.result is set.
bool path_at(Call& c, int dir_arg, int path_arg, std::string& path);
bool guest_string(const Guest& g, const void* at, std::string& to);  // false: EFAULT
// Standard input (input.cc). The call waits until there is some, or `until`, and is then served from its beginning.
Next await_input(Call& c, int64_t until);
void ask_for_input(Guest& g);
bool input_ready(Guest& g);    // there is some, or it has ended
size_t input_left(Guest& g);   // bytes that can be read at once
Next read_input(Call& c, const OpenFile& f, const iovec* to, size_t count);

// ---- groups
Next call_brk(Call&), call_mmap(Call&), call_munmap(Call&), call_mprotect(Call&), call_mremap(Call&), call_madvise(Call&);
Next call_open(Call&), call_openat(Call&), call_creat(Call&), call_close(Call&), call_close_range(Call&), call_dup(Call&), call_dup2(Call&),
    call_dup3(Call&), call_fcntl(Call&), call_ioctl(Call&), call_read(Call&), call_write(Call&), call_readv(Call&), call_writev(Call&),
    call_fd(Call&), call_fd_pair(Call&), call_fstat(Call&), call_path(Call&), call_path_at(Call&), call_two_paths(Call&),
    call_two_paths_at(Call&), call_statat(Call&), call_readlink(Call&), call_readlinkat(Call&), call_chdir(Call&), call_fchdir(Call&),
    call_getcwd(Call&), call_flock(Call&), call_pipe(Call&), call_pipe2(Call&), call_new_fd(Call&), call_socketpair(Call&),
    call_socket_io(Call&), call_accept(Call&), call_poll(Call&), call_ppoll(Call&), call_select(Call&), call_symlinkat(Call&),
    call_epoll_ctl(Call&), call_epoll_wait(Call&), call_umask(Call&), call_mkdir(Call&), call_bind(Call&);
Next call_exit(Call&), call_arch_prctl(Call&), call_prctl(Call&), call_identity(Call&),
    call_zero(Call&), call_nosys(Call&), call_alarm(Call&), call_setitimer(Call&), call_refuse(Call&), call_nanosleep(Call&), call_clock_nanosleep(Call&),
    call_yield(Call&), call_futex(Call&), call_rlimit(Call&), call_mincore(Call&), call_affinity(Call&);
Next call_sigaction(Call&), call_sigmask(Call&), call_sigaltstack(Call&), call_sigpending(Call&), call_sigreturn(Call&), call_sigsuspend(Call&),
    call_pause(Call&), call_sigtimedwait(Call&), call_kill(Call&), call_sigqueue(Call&);

}  // namespace dmi::host
