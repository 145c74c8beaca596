/* switch-round-trip: from one guest to another on the same worker and back, both calling DMI_yield. To be run with one
 * worker. Two threads meet at a barrier and then yield to each other; main waits in DMI_join meanwhile. */
#include "dmi_api.h"

#include "bench_guest.h"

enum { THREADS = 2, BATCHES = 41, YIELDS = 5000 };

int64_t DMI_thread(int64_t addr) {
  double ns = tick_ns();
  DMI_local_barrier_t barrier;
  BENCH_CHECK(DMI_local_barrier_init(&barrier, addr));
  static double samples[BATCHES];
  for (int b = 0; b < BATCHES; b++) {
    BENCH_CHECK(DMI_local_barrier_sync(&barrier, THREADS));
    uint64_t start = ticks();
    for (int i = 0; i < YIELDS; i++) DMI_yield();
    samples[b] = (double)(ticks() - start) * ns / YIELDS;
  }
  BENCH_CHECK(DMI_local_barrier_destroy(&barrier));
  return (int64_t)(bench_median(samples, BATCHES) * 1000);
}

void DMI_main(int argc, char **argv) {
  (void)argc, (void)argv;
  int64_t addr, picoseconds = 0;
  DMI_thread_t threads[THREADS];
  int32_t here;
  BENCH_CHECK(DMI_rank(&here));
  BENCH_CHECK(DMI_mmap(&addr, sizeof(DMI_barrier_t), 1, NULL));
  BENCH_CHECK(DMI_barrier_init(addr));
  for (int i = 0; i < THREADS; i++) BENCH_CHECK(DMI_create(&threads[i], here, addr, 0, NULL));
  for (int i = 0; i < THREADS; i++) BENCH_CHECK(DMI_join(threads[i], &picoseconds, NULL));
  bench_report("switch-round-trip", (double)picoseconds / 1000, "ns");
}
