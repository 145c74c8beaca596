/* input HOW: reads its standard input to the end. `sum`: says how much there was, and its FNV-1a hash; `pipe`: whether it is one;
 * else HOW is the way to read (and to wait), and every line is repeated as soon as it is there. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *how;
static int in = 0;

static int is(const char *name) { return strcmp(how, name) == 0; }

static long next(char *to, size_t size) {
  struct pollfd p[2] = {{.fd = in, .events = POLLIN}, {.fd = 1, .events = 0}};
  if (is("poll")) {
    int n = poll(p, 2, -1);
    if (n != 1 || !(p[0].revents & (POLLIN | POLLHUP)) || p[1].revents) return printf("poll: %d %x\n", n, p[0].revents), -1;
  } else if (is("timed")) {
    struct timespec t = {.tv_nsec = 20000000};
    while (ppoll(p, 1, &t, NULL) == 0) continue;
  } else if (is("select")) {
    fd_set set, none;
    FD_ZERO(&set);
    FD_ZERO(&none);
    FD_SET(in, &set);
    int n = select(in + 1, &set, &none, NULL, NULL);
    if (n != 1 || !FD_ISSET(in, &set)) return printf("select: %d\n", n), -1;
  } else if (is("readv")) {
    struct iovec v[3] = {{to, 1}, {to + 1, 0}, {to + 1, size - 1}};
    return readv(in, v, 3);
  }
  long n;
  while ((n = read(in, to, size)) < 0 && errno == EAGAIN) usleep(5000);
  return n;
}

static int repeat(void) {
  static char buf[1 << 16];
  long had = 0, total = 0, n;
  while ((n = next(buf + had, sizeof buf - had)) > 0) {
    total += n, had += n;
    char *begin = buf, *end;
    while ((end = memchr(begin, '\n', had))) {
      printf("got %.*s\n", (int)(end - begin), begin);
      had -= end + 1 - begin;
      begin = end + 1;
    }
    memmove(buf, begin, had);
  }
  if (n < 0) return perror(how), 1;
  printf("end after %ld\n", total);
  return next(buf, 1) != 0; /* and so it stays */
}

static int sum(void) {
  static unsigned char buf[100000];
  uint64_t hash = 0xcbf29ce484222325;
  long total = 0, n;
  for (size_t size = 1; (n = read(0, buf, size)) > 0; total += n, size = (size * 7 + 13) % sizeof buf + 1)
    for (long i = 0; i < n; i++) hash = (hash ^ buf[i]) * 0x100000001b3;
  if (n < 0) return perror("read"), 1;
  printf("%ld %016llx\n", total, (unsigned long long)hash);
  return 0;
}

#define HOLDS(x) ((x) ? (void)0 : (void)printf("%s: %s\n", #x, strerror(errno)))
static char *volatile nowhere = (char *)8;
static int is_pipe(void) {
  struct stat st;
  struct statx sx;
  struct pollfd p = {.fd = 0, .events = POLLIN | POLLOUT};
  char buf[8];
  int n = -1;
  fd_set set;
  struct timeval none = {0};
  HOLDS(fstat(0, &st) == 0 && S_ISFIFO(st.st_mode));
  HOLDS(statx(0, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &sx) == 0 && S_ISFIFO(sx.stx_mode));
  HOLDS(lseek(0, 0, SEEK_CUR) == -1 && errno == ESPIPE);
  HOLDS(pread(0, buf, 1, 0) == -1 && errno == ESPIPE);
  HOLDS(!isatty(0) && errno == ENOTTY);
  HOLDS(write(0, "x", 1) == -1 && errno == EBADF);
  HOLDS(read(0, buf, 0) == 0);
  HOLDS(fcntl(0, F_GETFL) == O_RDONLY && fcntl(0, F_SETFL, O_NONBLOCK) == 0 && fcntl(0, F_GETFL) == O_NONBLOCK);
  HOLDS(read(0, buf, 1) == -1 && errno == EAGAIN);
  HOLDS(ioctl(0, FIONREAD, &n) == 0 && n == 0);
  HOLDS(poll(&p, 1, 0) == 0 && p.revents == 0);
  FD_ZERO(&set);
  FD_SET(0, &set);
  HOLDS(select(1, &set, NULL, NULL, &none) == 0 && !FD_ISSET(0, &set));
  puts("empty");
  HOLDS(poll(&p, 1, -1) == 1 && p.revents == POLLIN);
  HOLDS(ioctl(0, FIONREAD, &n) == 0 && n == 5);
  HOLDS(fcntl(0, F_SETFL, 0) == 0 && read(0, nowhere, 2) == -1 && errno == EFAULT);
  HOLDS(read(0, buf, 2) == 2 && ioctl(0, FIONREAD, &n) == 0 && n == 3);
  FD_ZERO(&set);
  FD_SET(0, &set);
  FD_SET(1, &set);
  HOLDS(select(2, &set, NULL, NULL, NULL) == 1 && FD_ISSET(0, &set) && !FD_ISSET(1, &set));
  HOLDS(read(0, buf, sizeof buf) == 3 && memcmp(buf, "llo", 3) == 0);
  puts("full");
  HOLDS(poll(&p, 1, -1) == 1 && (p.revents & POLLHUP));
  HOLDS(read(0, buf, 1) == 0);
  p.fd = 50;
  HOLDS(poll(&p, 1, -1) == 1 && p.revents == POLLNVAL);
  p = (struct pollfd){.fd = -1, .events = POLLIN};
  HOLDS(poll(&p, 1, 1) == 0);
  FD_ZERO(&set);
  FD_SET(50, &set);
  HOLDS(select(51, &set, NULL, NULL, &none) == -1 && errno == EBADF);
  HOLDS(close(0) == 0 && read(0, buf, 1) == -1 && errno == EBADF);
  puts("closed");
  return 0;
}

int main(int argc, char **argv) {
  how = argc > 1 ? argv[1] : "read";
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (is("sum")) return sum();
  if (is("pipe")) return is_pipe();
  if (is("dev")) in = open("/dev/stdin", O_RDONLY);
  if (is("dup")) {
    in = dup2(0, 7);
    close(0);
  }
  if (is("nonblocking")) fcntl(0, F_SETFL, O_NONBLOCK);
  return repeat();
}
