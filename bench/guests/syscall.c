/* syscall-dispatched: a system call of a guest, which arrives at the host as a signal. syscall-rewritten: the same from a site
 * that the host could rewrite. clock-gettime: the call that programs make most. */
#include <sys/syscall.h>
#include <unistd.h>

#include "bench_guest.h"

enum { BATCHES = 51, CALLS = 2000 };

/* No instruction of five bytes stands before the `syscall`, so this site stays as it is. */
static long dispatched(void) {
  long result;
  __asm__ volatile("mov %%edx, %%eax\n nop\n syscall" : "=a"(result) : "d"((long)SYS_getppid) : "rcx", "r11", "memory");
  return result;
}
static long rewritten(void) { return getppid(); }
static long time_of_day(void) { return (long)now_ns(); }

static void measure(const char *name, long (*call)(void), double ns) {
  static double samples[BATCHES];
  for (int b = 0; b < BATCHES; b++) {
    uint64_t start = ticks();
    for (int i = 0; i < CALLS; i++) call();
    samples[b] = (double)(ticks() - start) * ns / CALLS;
  }
  bench_report(name, bench_median(samples, BATCHES), "ns");
}

int main(void) {
  double ns = tick_ns();
  measure("syscall-dispatched", dispatched, ns);
  measure("syscall-rewritten", rewritten, ns);
  measure("clock-gettime", time_of_day, ns);
  return 0;
}
