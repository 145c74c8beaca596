/* fifo PATH: rank 0 reads what rank 1 writes there; opening waits for the other. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
  int reads = argc < 2 || atoi(getenv("DMI_RANK")) == 0;
  char text[16] = "through";
  int fd = open(argv[1], reads ? O_RDONLY : O_WRONLY);
  if (fd < 0) return perror("open"), 1;
  long n = reads ? read(fd, text, sizeof text) : write(fd, text, 7);
  printf("%s %ld %.7s\n", reads ? "read" : "wrote", n, text);
  return n == 7 ? 0 : 1;
}
