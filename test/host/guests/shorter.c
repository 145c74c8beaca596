/* shorter FILE HOW: maps FILE, makes it shorter, and has the host read what is not there any more: "write", or reads it itself: "load". */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc < 3) return 99;
  int fd = open(argv[1], O_RDWR | O_CREAT, 0600);
  if (ftruncate(fd, 8192) != 0) return 98;
  char *map = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, fd, 0);
  if (map == MAP_FAILED || ftruncate(fd, 0) != 0) return 97;
  if (!strcmp(argv[2], "write")) return write(1, map + 4096, 10) == 10;
  return ((volatile char *)map)[4096];
}
