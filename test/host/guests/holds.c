/* holds WHAT FILE LOG: holds something until FILE.go exists, then lets go and takes five more steps, each noted in LOG; the last
 * when FILE.end exists. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc < 4) return 99;
  const char *what = argv[1];
  char go[4096], end[4096];
  snprintf(go, sizeof go, "%s.go", argv[2]);
  snprintf(end, sizeof end, "%s.end", argv[2]);
  int fd = -1, pair[2] = {-1, -1};
  char *map = NULL;
  struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  if (!strcmp(what, "socket")) fd = socket(AF_INET, SOCK_STREAM, 0);
  else if (!strcmp(what, "pipe")) fd = pipe(pair) ? -1 : pair[0];
  else if (!strcmp(what, "eventfd")) fd = eventfd(0, 0);
  else if (!strcmp(what, "epoll")) fd = epoll_create1(0);
  else fd = open(argv[2], O_RDWR | O_CREAT, 0600);
  if (fd < 0) return 98;
  if (!strcmp(what, "flock") && flock(fd, LOCK_EX) != 0) return 97;
  if (!strcmp(what, "lockf") && fcntl(fd, F_SETLK, &whole) != 0) return 96;
  if (!strcmp(what, "shared")) {
    if (ftruncate(fd, 4096) != 0) return 95;
    map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) return 94;
    strcpy(map, "shared");
    close(fd);
    fd = -1;
  }
  if (!strcmp(what, "deleted")) unlink(argv[2]);
  if (!strcmp(what, "renamed")) {
    char other[4096];
    snprintf(other, sizeof other, "%s.other", argv[2]);
    if (rename(argv[2], other) != 0) return 93;
  }
  if (!strcmp(what, "shorter") && lseek(fd, write(fd, "12345678", 8) - 8 + 8, SEEK_SET) != 8) return 92;
  printf("holding\n");
  fflush(stdout);
  while (access(go, F_OK) != 0) usleep(2000);
  if (!strcmp(what, "flock")) flock(fd, LOCK_UN);
  whole.l_type = F_UNLCK;
  if (!strcmp(what, "lockf")) fcntl(fd, F_SETLK, &whole);
  if (map) munmap(map, 4096);
  if (fd >= 0 && strcmp(what, "flock") && strcmp(what, "lockf")) close(fd);
  if (pair[1] >= 0) close(pair[1]);
  printf("free\n");
  fflush(stdout);
  for (int i = 0; i < 5; i++) {
    FILE *log = fopen(argv[3], "a");
    fprintf(log, "%d\n", i);
    fclose(log);
    usleep(2000);
    if (i == 3) while (access(end, F_OK) != 0) usleep(2000);
  }
  return 5;
}
