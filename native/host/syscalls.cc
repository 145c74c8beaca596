// The policy table, by system call number. Classes:
//   address space   inside the thread's region, nowhere else
//   descriptors     through the thread's own table; paths against its own working directory
//   identity        a stable process id of its own
//   time, sleeping  through the scheduler: a sleeping guest leaves its worker free
//   signals         the thread's own: actions, mask, alternate stack, what is pending. Only it itself can send it one, and its own code's
//                   faults are signals to it; there is no other process (ESRCH). Timers that would signal are refused
//   refused         what a hosted thread cannot do (fork, exec, threads): ENOSYS and one line in the log
// Anything not listed is refused the same way.
#include "syscalls.h"

#include <errno.h>
#include <sys/uio.h>

#include <array>
#include <mutex>
#include <set>

#include "host.h"
#include "platform.h"

namespace dmi::host {
namespace {

struct Policy {
  const char* name = nullptr;
  Handler handler = nullptr;
  bool unties = false;  // may end what ties the thread to this host
};

std::array<Policy, 512> make_table() {
  std::array<Policy, 512> t{};
#define ON(call, handler) t[SYS_##call] = {#call, handler}
  // address space
  ON(brk, call_brk); ON(mmap, call_mmap); ON(munmap, call_munmap); ON(mprotect, call_mprotect);
  ON(mremap, call_mremap); ON(madvise, call_madvise); ON(mincore, call_mincore); ON(msync, call_zero);
  ON(mlock, call_zero); ON(munlock, call_zero); ON(membarrier, call_zero);
  // descriptors
  ON(open, call_open); ON(openat, call_openat); ON(creat, call_creat); ON(close, call_close); ON(close_range, call_close_range);
  ON(dup, call_dup); ON(dup2, call_dup2); ON(dup3, call_dup3); ON(fcntl, call_fcntl); ON(ioctl, call_ioctl);
  ON(read, call_read); ON(write, call_write); ON(readv, call_readv); ON(writev, call_writev);
  ON(pread64, call_fd); ON(pwrite64, call_fd); ON(preadv, call_fd); ON(pwritev, call_fd); ON(preadv2, call_fd); ON(pwritev2, call_fd);
  ON(lseek, call_fd); ON(fsync, call_fd); ON(fdatasync, call_fd); ON(ftruncate, call_fd); ON(fallocate, call_fd);
  ON(fadvise64, call_fd); ON(getdents64, call_fd); ON(fchmod, call_fd); ON(fchown, call_fd); ON(fstatfs, call_fd);
  ON(sync_file_range, call_fd); ON(readahead, call_fd); ON(fgetxattr, call_fd); ON(flistxattr, call_fd);
  ON(sendfile, call_fd_pair); ON(fstat, call_fstat); ON(newfstatat, call_statat); ON(statx, call_statat);
  ON(flock, call_flock); ON(chdir, call_chdir); ON(fchdir, call_fchdir); ON(getcwd, call_getcwd);
  ON(umask, call_umask);
  // paths
  ON(stat, call_path); ON(lstat, call_path); ON(access, call_path); ON(unlink, call_path); ON(mkdir, call_mkdir); ON(rmdir, call_path);
  ON(chmod, call_path); ON(chown, call_path); ON(truncate, call_path); ON(statfs, call_path); ON(utime, call_path); ON(utimes, call_path);
  ON(getxattr, call_path); ON(lgetxattr, call_path); ON(listxattr, call_path);
  ON(faccessat, call_path_at); ON(faccessat2, call_path_at); ON(unlinkat, call_path_at); ON(mkdirat, call_mkdir);
  ON(fchmodat, call_path_at); ON(fchownat, call_path_at); ON(utimensat, call_path_at); ON(futimesat, call_path_at);
  ON(readlink, call_readlink); ON(readlinkat, call_readlinkat); ON(rename, call_two_paths); ON(link, call_two_paths);
  ON(renameat, call_two_paths_at); ON(renameat2, call_two_paths_at); ON(linkat, call_two_paths_at); ON(symlinkat, call_symlinkat);
  ON(symlink, call_two_paths);
  // kernel objects that pin the thread
  ON(pipe, call_pipe); ON(pipe2, call_pipe2); ON(socket, call_new_fd); ON(eventfd2, call_new_fd); ON(timerfd_create, call_new_fd);
  ON(epoll_create1, call_new_fd); ON(memfd_create, call_new_fd); ON(inotify_init1, call_new_fd); ON(socketpair, call_socketpair);
  ON(connect, call_socket_io); ON(sendto, call_socket_io); ON(recvfrom, call_socket_io); ON(sendmsg, call_socket_io);
  ON(recvmsg, call_socket_io); ON(accept, call_accept); ON(accept4, call_accept); ON(bind, call_bind); ON(listen, call_fd);
  ON(getsockname, call_fd); ON(getpeername, call_fd); ON(setsockopt, call_fd); ON(getsockopt, call_fd); ON(shutdown, call_fd);
  ON(poll, call_poll); ON(ppoll, call_ppoll); ON(select, call_select); ON(pselect6, call_select);
  ON(timerfd_settime, call_fd); ON(timerfd_gettime, call_fd); ON(epoll_ctl, call_epoll_ctl); ON(epoll_wait, call_epoll_wait);
  ON(epoll_pwait, call_epoll_wait);
  // identity
  ON(getpid, call_identity); ON(gettid, call_identity); ON(getppid, call_identity); ON(set_tid_address, call_identity);
  ON(getpgrp, call_identity); ON(getpgid, call_identity); ON(getsid, call_identity);
  ON(getuid, pass); ON(geteuid, pass); ON(getgid, pass); ON(getegid, pass); ON(getgroups, pass); ON(getresuid, pass); ON(getresgid, pass);
  ON(uname, pass); ON(sysinfo, pass); ON(getrandom, pass); ON(getrusage, pass); ON(times, pass); ON(getcpu, pass);
  ON(sched_getaffinity, call_affinity); ON(sched_setaffinity, call_zero); ON(sched_getscheduler, call_zero); ON(sched_setscheduler, call_zero);
  ON(getpriority, call_zero); ON(setpriority, call_zero); ON(getrlimit, call_rlimit); ON(setrlimit, call_zero); ON(prlimit64, call_rlimit);
  ON(personality, call_zero); ON(sched_get_priority_max, pass); ON(sched_get_priority_min, pass);
  // time, sleeping
  ON(clock_gettime, pass); ON(clock_getres, pass); ON(gettimeofday, pass); ON(time, pass);
  ON(nanosleep, call_nanosleep); ON(clock_nanosleep, call_clock_nanosleep); ON(sched_yield, call_yield);
  ON(futex, call_futex);
  // signals
  ON(rt_sigaction, call_sigaction); ON(rt_sigprocmask, call_sigmask); ON(sigaltstack, call_sigaltstack); ON(rt_sigpending, call_sigpending);
  ON(rt_sigreturn, call_sigreturn); ON(rt_sigsuspend, call_sigsuspend); ON(pause, call_pause); ON(rt_sigtimedwait, call_sigtimedwait);
  ON(kill, call_kill); ON(tkill, call_kill); ON(tgkill, call_kill); ON(rt_sigqueueinfo, call_sigqueue); ON(rt_tgsigqueueinfo, call_sigqueue);
  ON(alarm, call_alarm); ON(setitimer, call_setitimer); ON(getitimer, call_nosys);
  // the program itself
  ON(exit, call_exit); ON(exit_group, call_exit); ON(arch_prctl, call_arch_prctl); ON(prctl, call_prctl);
  ON(rseq, call_nosys); ON(set_robust_list, call_nosys);
  // memory placement: as on a kernel without NUMA, for a thread has no node of its own machine to prefer
  ON(mbind, call_nosys); ON(set_mempolicy, call_nosys); ON(get_mempolicy, call_nosys); ON(migrate_pages, call_nosys); ON(move_pages, call_nosys);
  // refused
  ON(fork, call_refuse); ON(vfork, call_refuse); ON(clone, call_refuse); ON(clone3, call_refuse); ON(execve, call_refuse);
  ON(execveat, call_refuse); ON(ptrace, call_refuse); ON(wait4, call_refuse); ON(shmget, call_refuse); ON(shmat, call_refuse);
#undef ON
  for (long nr : {SYS_close, SYS_close_range, SYS_dup2, SYS_dup3, SYS_fcntl, SYS_flock, SYS_mmap, SYS_munmap, SYS_mremap})
    t[static_cast<size_t>(nr)].unties = true;
  return t;
}

const std::array<Policy, 512> kTable = make_table();

std::string explain(long nr) {
  switch (nr) {
    case SYS_fork: case SYS_vfork: case SYS_clone: case SYS_clone3:
      return "a hosted thread cannot fork or start threads of its own; use DMI_create, or run more instances with -n";
    case SYS_execve: case SYS_execveat:
      return "a hosted thread cannot become another program; start that with dmi run";
    case SYS_alarm: case SYS_setitimer:
      return "a hosted thread gets no signals from timers; sleep instead";
    default:
      return "it is not supported in a hosted thread";
  }
}

}  // namespace

Next call_refuse(Call& c) {
  static std::mutex mutex;
  static std::set<long> told;
  const char* name = c.nr >= 0 && c.nr < 512 && kTable[static_cast<size_t>(c.nr)].name ? kTable[static_cast<size_t>(c.nr)].name : nullptr;
  {
    std::lock_guard hold(mutex);
    if (!told.insert(c.nr).second) return give(c, -ENOSYS);
  }
  Host::get().control().log(40, "thread " + c.guest.name() + ": system call " + (name ? name : std::to_string(c.nr)) +
                                    " refused (ENOSYS): " + explain(c.nr));
  return give(c, -ENOSYS);
}

Next pass(Call& c) { return give(c, raw_syscall(c.nr, c.a[0], c.a[1], c.a[2], c.a[3], c.a[4], c.a[5])); }

bool guest_string(const Guest& g, const void* at, std::string& to) {
  to.clear();
  auto address = reinterpret_cast<uint64_t>(at);
  char buf[4096];
  while (to.size() < 65536) {
    if (!g.space.find(address)) return false;
    const size_t n = std::min<uint64_t>(sizeof buf, kPage - (address & (kPage - 1)));
    iovec local{buf, n}, remote{reinterpret_cast<void*>(address), n};
    if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) != static_cast<ssize_t>(n)) return false;
    const size_t len = strnlen(buf, n);
    to.append(buf, len);
    if (len < n) return true;
    address += n;
  }
  return false;
}

Next system_call(Worker& w, Guest& g, SystemCall& call) {
  Call c{w, g, call.nr, {call.a[0], call.a[1], call.a[2], call.a[3], call.a[4], call.a[5]}, call};
  g.system_calls++;
  const Policy policy = c.nr >= 0 && c.nr < 512 ? kTable[static_cast<size_t>(c.nr)] : Policy{};
  g.pins_changed |= policy.unties && !g.last_pin.empty();
  const Next next = policy.handler ? policy.handler(c) : call_refuse(c);
  if (next != Next::Gone) g.context.result = c.result;
  return next;
}

}  // namespace dmi::host
