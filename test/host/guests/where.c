/* where HOW FILE: outer() calls middle() calls inner(), which computes ("spin"), sleeps ("sleep"), makes system calls ("call") or waits in
 * one ("fifo") until FILE is there. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile long turns;
__attribute__((noinline)) static long inner(const char *how, const char *file) {
  if (!strcmp(how, "fifo")) return open(file, O_RDONLY);
  for (long i = 0;; i++) {
    turns = turns + 1;
    if (!strcmp(how, "sleep")) nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    if (!strcmp(how, "call")) getppid();
    if ((i % 1000000 == 0 || !strcmp(how, "sleep")) && access(file, F_OK) == 0) return i;
  }
}
__attribute__((noinline)) static long middle(const char *how, const char *file) { return inner(how, file) + turns; }
__attribute__((noinline)) static long outer(const char *how, const char *file) { return middle(how, file) * 2; }
int main(int argc, char **argv) {
  if (argc < 3) return 99;
  printf("begun\n");
  fflush(stdout);
  return outer(argv[1], argv[2]) == 1;
}
