/* spawn-1: one thread created, brought to DMI_thread, ended and joined. spawn-1-to-main: until its first instruction of
 * ours. spawn-15: 15 threads created, then all joined, in a host where
 * threads have ended before; spawn-15-cold: threads with a stack of a size that none had before, so each begins from nothing. spawn-1000-live: 1,000 threads alive in one host at the same time, per thread, until the last has started. */
#include "dmi_api.h"

#include "bench_guest.h"

enum { ONE_BY_ONE = 300, FEW = 15, FEW_TIMES = 60, AT_ONCE = 1000 };

struct shared {
  int64_t started; /* threads that wait for the gate to open */
  int64_t open;
};

int64_t DMI_thread(int64_t addr) {
  int64_t started_at = (int64_t)ticks();
  if (addr != DMI_NULL) {
    int64_t before, closed = 0, opened;
    BENCH_CHECK(DMI_fad(addr + (int64_t)offsetof(struct shared, started), 1, &before, DMI_PUT, NULL));
    BENCH_CHECK(DMI_watch(addr + (int64_t)offsetof(struct shared, open), sizeof closed, &closed, &opened, NULL));
  }
  return started_at;
}

static double create_and_join_few(int32_t here, int64_t stack) { /* ticks */
  DMI_thread_t threads[FEW];
  int64_t started_at;
  uint64_t start = ticks();
  for (int k = 0; k < FEW; k++) BENCH_CHECK(DMI_create(&threads[k], here, DMI_NULL, stack ? stack + k * 4096 : 0, NULL));
  for (int k = 0; k < FEW; k++) BENCH_CHECK(DMI_join(threads[k], &started_at, NULL));
  return (double)(ticks() - start);
}

void DMI_main(int argc, char **argv) {
  (void)argc, (void)argv;
  double ns = tick_ns();
  int32_t here;
  BENCH_CHECK(DMI_rank(&here));

  static double whole[ONE_BY_ONE], to_main[ONE_BY_ONE];
  for (int i = 0; i < ONE_BY_ONE; i++) {
    DMI_thread_t thread;
    int64_t started_at;
    uint64_t start = ticks();
    BENCH_CHECK(DMI_create(&thread, here, DMI_NULL, 0, NULL));
    BENCH_CHECK(DMI_join(thread, &started_at, NULL));
    whole[i] = (double)(ticks() - start) * ns;
    to_main[i] = (double)((uint64_t)started_at - start) * ns;
  }
  bench_report("spawn-1", bench_median(whole, ONE_BY_ONE), "ns");
  bench_report("spawn-1-to-main", bench_median(to_main, ONE_BY_ONE), "ns");

  static double few[FEW_TIMES];
  for (int i = 0; i < FEW_TIMES; i++) few[i] = create_and_join_few(here, 0) * ns;
  bench_report("spawn-15", bench_median(few, FEW_TIMES), "ns");
  for (int i = 0; i < FEW_TIMES; i++) few[i] = create_and_join_few(here, (1 << 20) + i * FEW * 4096) * ns;
  bench_report("spawn-15-cold", bench_median(few, FEW_TIMES), "ns");

  int64_t addr, zero = 0, started = 0, one = 1, result;
  static DMI_thread_t threads[AT_ONCE];
  BENCH_CHECK(DMI_mmap(&addr, sizeof(struct shared), 1, NULL));
  BENCH_CHECK(DMI_write(addr + (int64_t)offsetof(struct shared, open), sizeof zero, &zero, DMI_PUT, NULL));
  uint64_t start = ticks();
  for (int i = 0; i < AT_ONCE; i++) BENCH_CHECK(DMI_create(&threads[i], here, addr, 0, NULL));
  while (started < AT_ONCE) {
    DMI_yield();
    BENCH_CHECK(DMI_read(addr + (int64_t)offsetof(struct shared, started), sizeof started, &started, DMI_GET, NULL));
  }
  double each = (double)(ticks() - start) * ns / AT_ONCE;
  BENCH_CHECK(DMI_write(addr + (int64_t)offsetof(struct shared, open), sizeof one, &one, DMI_PUT, NULL));
  for (int i = 0; i < AT_ONCE; i++) BENCH_CHECK(DMI_join(threads[i], &result, NULL));
  bench_report("spawn-1000-live", each, "ns");
}
