/* steps LOG COUNT MICROSECONDS [MIB [GO [ALIKE]]]: appends a line per step to LOG, so that a step done twice or never shows; between two steps it sleeps
 * (or computes when MICROSECONDS is 0), and it holds MIB of memory whose contents it checks at the
 * end; so many words of it in a row are ALIKE (1). Before its last step it waits until the file GO exists. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc < 4) return 99;
  int count = atoi(argv[2]);
  long us = atol(argv[3]);
  size_t bytes = (size_t)(argc > 4 ? atoi(argv[4]) : 0) << 20;
  size_t alike = argc > 6 ? (size_t)atoi(argv[6]) : 1;
  uint64_t *ballast = bytes ? malloc(bytes) : NULL;
  for (size_t i = 0; i < bytes / 8; i++) ballast[i] = i / alike * 0x9e3779b97f4a7c15u;
  int fd = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0644);
  if (fd < 0) return 98;
  for (int i = 0; i < count; i++) {
    while (argc > 5 && i == count - 1 && access(argv[5], F_OK) != 0) usleep(1000);
    char line[64];
    int n = snprintf(line, sizeof line, "%s %d\n", getenv("DMI_RANK"), i);
    if (write(fd, line, (size_t)n) != n) return 97;
    if (us) nanosleep(&(struct timespec){us / 1000000, us % 1000000 * 1000}, NULL);
    else for (volatile long k = 0; k < 3000000; k++) {}
  }
  for (size_t i = 0; i < bytes / 8; i++)
    if (ballast[i] != i / alike * 0x9e3779b97f4a7c15u) return 96;
  close(fd);
  printf("done %d\n", count);
  return 7;
}
