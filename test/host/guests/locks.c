/* locks FILE ROUNDS: each instance adds one to a number in FILE, ROUNDS times, between locking and unlocking it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc < 3) return 9;
  const int rounds = atoi(argv[2]);
  int fd = open(argv[1], O_RDWR | O_CREAT, 0600);
  if (fd < 0) return 8;
  for (int i = 0; i < rounds; i++) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (argc > 3 ? fcntl(fd, F_SETLKW, &whole) : flock(fd, LOCK_EX)) return 7;
    int n = 0;
    if (pread(fd, &n, sizeof n, 0) < 0) return 6;
    usleep(500);
    n++;
    if (pwrite(fd, &n, sizeof n, 0) != sizeof n) return 5;
    whole.l_type = F_UNLCK;
    if (argc > 3 ? fcntl(fd, F_SETLKW, &whole) : flock(fd, LOCK_UN)) return 4;
  }
  return 0;
}
