/* Holds a listening socket, which cannot move, until the file argv[1] is there, and ends when argv[2] is. */
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static void until(const char *file) {
  while (access(file, F_OK)) usleep(50000);
}

int main(int argc, char **argv) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (argc < 3 || fd < 0 || listen(fd, 1)) return 1;
  puts("listening");
  fflush(stdout);
  until(argv[1]);
  close(fd);
  puts("closed");
  fflush(stdout);
  until(argv[2]);
  return 0;
}
