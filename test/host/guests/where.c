/* where HOW FILE: outer() calls middle() calls inner(), which computes ("spin"), sleeps ("sleep"), makes system calls ("call"), sends itself
 * signals ("raise") or waits in a call ("fifo") until FILE is there; in the handler of a signal with "handler". */
#include <fcntl.h>
#include <signal.h>
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
    if (!strcmp(how, "raise")) raise(SIGUSR1);
    if ((i % 1000000 == 0 || !strcmp(how, "sleep")) && access(file, F_OK) == 0) return i;
  }
}
__attribute__((noinline)) static long middle(const char *how, const char *file) { return inner(how, file) + turns; }
__attribute__((noinline)) static long outer(const char *how, const char *file) { return middle(how, file) * 2; }
static volatile int waits;
static char **arguments;
static void handler(int number) {
  if (waits) waits = 0, outer("spin", arguments[2]);
  turns = turns + number;
}
int main(int argc, char **argv) {
  if (argc < 3) return 99;
  printf("begun\n");
  fflush(stdout);
  arguments = argv;
  signal(SIGUSR1, handler);
  waits = !strcmp(argv[1], "handler");
  if (waits) return raise(SIGUSR1);
  return outer(argv[1], argv[2]) == 1;
}
