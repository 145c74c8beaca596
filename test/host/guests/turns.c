/* turns LOG CHUNKS: computes without ever calling anything, CHUNKS times, and notes each. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
  int fd = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0600), chunks = argc > 2 ? atoi(argv[2]) : 0;
  if (fd < 0) return 1;
  for (int i = 0; i < chunks; i++) {
    for (volatile long k = 0; k < 5000000; k++) {}
    char line[32];
    if (write(fd, line, (size_t)snprintf(line, sizeof line, "%s %d\n", getenv("DMI_RANK"), i)) < 0) return 2;
  }
  return 0;
}
