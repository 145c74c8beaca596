/* What a hosted thread cannot do gives ENOSYS, a bad pointer EFAULT, and neither takes the host down. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static void *nothing(void *p) { return p; }
#define SAY(name, call) do { errno = 0; long r = (long)(call); printf("%s %ld %s\n", name, r, errno ? strerrorname_np(errno) : "-"); } while (0)

int main(void) {
  for (int i = 0; i < 3; i++) {
    SAY("fork", fork());
    SAY("exec", execl("/bin/true", "true", (char *)NULL));
  }
  pthread_t t;
  printf("pthread_create %s\n", strerrorname_np(pthread_create(&t, NULL, nothing, NULL)));
  char *hole = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct iovec v = {hole, 10};
  SAY("write", syscall(SYS_write, 1, hole, 10));
  SAY("write-null", syscall(SYS_write, 1, NULL, 10));
  SAY("writev", syscall(SYS_writev, 1, &v, 1));
  SAY("writev-list", syscall(SYS_writev, 1, hole, 1));
  SAY("nanosleep", syscall(SYS_nanosleep, hole, NULL));
  SAY("fstat", syscall(SYS_newfstatat, 1, "", hole, AT_EMPTY_PATH));
  SAY("open", syscall(SYS_openat, AT_FDCWD, hole, O_RDONLY));
  SAY("getcwd", syscall(SYS_getcwd, hole, 4096));
  SAY("affinity", syscall(SYS_sched_getaffinity, 0, 8, hole));
  SAY("map-host", mmap((void *)0x400000, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ? -1 : 0);
  SAY("unmap-host", munmap((void *)0x400000, 4096));
  SAY("too-much", mmap(NULL, (size_t)1 << 47, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0);
  SAY("unknown", syscall(499));
  return 0;
}
