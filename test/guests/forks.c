/* Tries what a thread cannot do: fork must fail, not take the host down. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(void) {
  pid_t child = fork();
  if (child == 0) return 1;
  printf("fork: %d %s\n", (int)child, strerror(errno));
  return child == -1 && errno == ENOSYS ? 0 : 1;
}
