/* policy DIRECTORY: one line for each class of native/host/syscalls.cc, "CLASS ok" or what was not as it should be. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int wrong;
#define HOLDS(condition) \
  do { errno = 0; if (!(condition)) printf("not: %s (%s)\n", #condition, strerror(errno)), wrong = 1; } while (0)
#define GIVES(call, error) HOLDS((call) == -1 && errno == (error))
static void say(const char *class) {
  if (!wrong) printf("%s ok\n", class);
  wrong = 0;
}
static int signalled;
static void on_signal(int s) { signalled = s; }

static void address_space(void) {
  char *heap = sbrk(0);
  HOLDS(sbrk(1 << 20) == heap);
  memset(heap, 1, 1 << 20);
  HOLDS(sbrk(-(1 << 20)) != (void *)-1);
  char *map = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  HOLDS(map != MAP_FAILED && llabs(map - (char *)&wrong) < (1l << 28)); /* in the thread's region */
  map[0] = 7;
  HOLDS((map = mremap(map, 1 << 20, 2 << 20, MREMAP_MAYMOVE)) != MAP_FAILED && map[0] == 7);
  HOLDS(madvise(map, 4096, MADV_DONTNEED) == 0 && map[0] == 0);
  HOLDS(mprotect(map, 4096, PROT_READ) == 0 && msync(map, 4096, MS_SYNC) == 0 && mlock(map, 4096) == 0);
  HOLDS(munmap(map, 2 << 20) == 0);
  GIVES(munmap((void *)0x100000000, 4096), EINVAL); /* the gate is not the thread's */
  GIVES(mprotect((void *)0x400000, 4096, PROT_WRITE), ENOMEM); /* nor is the host */
  GIVES((long)mremap((void *)0x400000, 4096, 8192, MREMAP_MAYMOVE), EFAULT);
  GIVES(madvise((void *)0x400000, 4096, MADV_DONTNEED), ENOMEM);
  unsigned char there;
  GIVES(mincore((void *)0x400000, 4096, &there), ENOMEM);
}
static void descriptors(void) {
  struct stat st;
  int fd = open("/dev/null", O_RDWR);
  HOLDS(fd == 3 && dup(fd) == 4 && dup2(fd, 9) == 9 && fcntl(fd, F_DUPFD, 7) == 7);
  HOLDS(fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC && fcntl(4, F_GETFD) == 0);
  HOLDS(close_range(3, 20, 0) == 0 && fcntl(9, F_GETFD) == -1);
  HOLDS(fstat(1, &st) == 0 && S_ISCHR(st.st_mode) && read(0, &st, 1) == 0);
  GIVES(write(0, "x", 1), EBADF);
  GIVES(read(1, &st, 1), EBADF);
  GIVES(lseek(1, 0, SEEK_SET), ESPIPE);
  GIVES(close(77), EBADF);
}
static void paths(const char *directory) {
  char buf[4096];
  HOLDS(chdir(directory) == 0 && getcwd(buf, sizeof buf));
  HOLDS(mkdir("inner", 0700) == 0 && chdir("inner") == 0);
  int fd = open("file", O_CREAT | O_RDWR, 0600), again;
  HOLDS(fd == 3 && write(fd, "abc", 3) == 3 && (again = open("/dev/fd/3", O_RDONLY)) == 4 && read(again, buf, 9) == 3 && close(again) == 0);
  GIVES(open("/proc/self/fd/77", O_RDONLY), ENOENT); /* the thread's own numbers, not the host's */
  HOLDS(lseek(fd, 0, SEEK_SET) == 0 && write(fd, "abc", 3) == 3 && pread(fd, buf, 3, 0) == 3 && ftruncate(fd, 1) == 0 && close(fd) == 0);
  HOLDS(symlink("file", "link") == 0 && readlink("link", buf, sizeof buf) == 4 && rename("file", "other") == 0);
  GIVES(access("link", F_OK), ENOENT);
  HOLDS(unlink("link") == 0 && unlink("other") == 0 && chdir("..") == 0 && rmdir("inner") == 0);
  GIVES(access("inner", F_OK), ENOENT);
}
static void kernel_objects(void) { /* they work, and pin: moves.test.ts shows that */
  int pair[2];
  char c = 0;
  HOLDS(pipe(pair) == 0 && write(pair[1], "x", 1) == 1 && read(pair[0], &c, 1) == 1 && c == 'x');
  close(pair[0]), close(pair[1]);
  HOLDS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && write(pair[0], "y", 1) == 1 && read(pair[1], &c, 1) == 1 && c == 'y');
  close(pair[0]), close(pair[1]);
  uint64_t one = 1;
  int event = eventfd(0, 0), set = epoll_create1(0);
  struct epoll_event e = {.events = EPOLLIN, .data.u64 = 5};
  HOLDS(event >= 3 && set >= 3 && write(event, &one, 8) == 8 && read(event, &one, 8) == 8 && one == 1);
  GIVES(epoll_ctl(set, EPOLL_CTL_ADD, event, &e), ENOSYS);
  HOLDS(poll(NULL, 0, 1) == 0); /* a way to sleep */
  close(event), close(set);
}
static void identity(void) {
  cpu_set_t set;
  HOLDS(getpid() > 1 && getpid() == syscall(SYS_gettid) && getppid() == 1);
  HOLDS(sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) == 1);
  struct rlimit stack;
  HOLDS(getrlimit(RLIMIT_STACK, &stack) == 0 && stack.rlim_cur > 65536 && stack.rlim_cur < (64 << 20));
}
static void time_and_sleep(void) {
  struct timespec before, after, bad = {.tv_nsec = 2000000000};
  clock_gettime(CLOCK_MONOTONIC, &before);
  HOLDS(nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL) == 0);
  clock_gettime(CLOCK_MONOTONIC, &after);
  HOLDS((after.tv_sec - before.tv_sec) * 1000000000l + after.tv_nsec - before.tv_nsec >= 3000000);
  HOLDS(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &before, NULL) == 0); /* long ago */
  GIVES(nanosleep(&bad, NULL), EINVAL);
  HOLDS(sched_yield() == 0 && time(NULL) > 1000000000);
}
static void signals(void) {
  HOLDS(signal(SIGUSR1, on_signal) != SIG_ERR && kill(getpid(), 0) == 0);
  HOLDS(alarm(0) == 0);
  struct itimerval none = {0}, soon = {.it_value.tv_usec = 1000};
  HOLDS(setitimer(ITIMER_REAL, &none, NULL) == 0);
  GIVES(setitimer(ITIMER_REAL, &soon, NULL), ENOSYS);
  GIVES(getitimer(ITIMER_REAL, &none), ENOSYS);
  HOLDS(usleep(5000) == 0 && signalled == 0);
  HOLDS(raise(SIGUSR1) == 0 && signalled == SIGUSR1); /* signals.test.ts shows the rest */
  GIVES(kill(getppid(), SIGTERM), ESRCH); /* there is nobody else */
}
static void refused(void) {
  GIVES(fork(), ENOSYS);
  GIVES(execl("/bin/true", "true", NULL), ENOSYS);
  GIVES(waitpid(-1, NULL, 0), ENOSYS);
  GIVES(ptrace(PTRACE_TRACEME, 0, 0, 0), ENOSYS);
  GIVES(shmget(IPC_PRIVATE, 4096, 0600), ENOSYS);
  GIVES(syscall(SYS_unshare, 0), ENOSYS); /* in no class */
  GIVES(syscall(511), ENOSYS);
  GIVES(syscall(-1), ENOSYS);
  GIVES(syscall(1l << 40), ENOSYS);
}

int main(int argc, char **argv) {
  if (argc < 2) return 99;
  address_space(), say("address space");
  descriptors(), say("descriptors");
  paths(argv[1]), say("paths");
  kernel_objects(), say("kernel objects");
  identity(), say("identity");
  time_and_sleep(), say("time");
  signals(), say("signals");
  refused(), say("refused");
  return 0;
}
