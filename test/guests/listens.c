/* Holds a listening socket, which cannot move, for argv[1] seconds. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || listen(fd, 1)) return 1;
  puts("listening");
  fflush(stdout);
  sleep(argc > 1 ? atoi(argv[1]) : 1);
  close(fd);
  puts("closed");
  fflush(stdout);
  sleep(2);
  return 0;
}
