/* syscall-dispatched: a system call of a guest, which arrives at the host as a signal. clock-gettime: the call that
 * programs make most. */
#include <sys/syscall.h>
#include <unistd.h>

#include "bench_guest.h"

enum { BATCHES = 51, CALLS = 2000 };

int main(void) {
  double ns = tick_ns();
  static double samples[BATCHES];
  for (int b = 0; b < BATCHES; b++) {
    uint64_t start = ticks();
    for (int i = 0; i < CALLS; i++) syscall(SYS_getppid);
    samples[b] = (double)(ticks() - start) * ns / CALLS;
  }
  bench_report("syscall-dispatched", bench_median(samples, BATCHES), "ns");
  for (int b = 0; b < BATCHES; b++) {
    uint64_t start = ticks();
    for (int i = 0; i < CALLS; i++) now_ns();
    samples[b] = (double)(ticks() - start) * ns / CALLS;
  }
  bench_report("clock-gettime", bench_median(samples, BATCHES), "ns");
  return 0;
}
