/* pte-16x128MiB: bytes of page tables of a host in which 16 threads have read the same 128 MiB of global memory. */
#include "dmi_api.h"

#include <string.h>

#include "bench_guest.h"

enum { THREADS = 16, CHUNK = 1 << 16, CHUNKS = 128 << 4 };

struct shared {
  int64_t memory;
  DMI_barrier_t barrier;
};

static double page_tables(void) {
  FILE *f = fopen("/proc/self/status", "r");
  char line[256];
  double kib = 0;
  while (f && fgets(line, sizeof line, f)) sscanf(line, "VmPTE: %lf kB", &kib);
  if (f) fclose(f);
  return kib * 1024;
}

int64_t DMI_thread(int64_t addr) {
  static char chunk[CHUNK];
  int64_t memory;
  DMI_local_barrier_t barrier;
  BENCH_CHECK(DMI_read(addr, sizeof memory, &memory, DMI_GET, NULL));
  BENCH_CHECK(DMI_local_barrier_init(&barrier, addr + (int64_t)offsetof(struct shared, barrier)));
  for (int64_t i = 0; i < CHUNKS; i++) BENCH_CHECK(DMI_read(memory + i * CHUNK, CHUNK, chunk, DMI_GET, NULL));
  BENCH_CHECK(DMI_local_barrier_sync(&barrier, THREADS));
  int64_t bytes = (int64_t)page_tables();
  BENCH_CHECK(DMI_local_barrier_sync(&barrier, THREADS));
  BENCH_CHECK(DMI_local_barrier_destroy(&barrier));
  return bytes;
}

void DMI_main(int argc, char **argv) {
  (void)argc, (void)argv;
  static char chunk[CHUNK];
  struct shared shared;
  int64_t addr, bytes = 0;
  int32_t here;
  DMI_thread_t threads[THREADS];
  BENCH_CHECK(DMI_rank(&here));
  BENCH_CHECK(DMI_mmap(&addr, sizeof shared, 1, NULL));
  BENCH_CHECK(DMI_mmap(&shared.memory, CHUNK, CHUNKS, NULL));
  BENCH_CHECK(DMI_write(addr, sizeof shared.memory, &shared.memory, DMI_PUT, NULL));
  BENCH_CHECK(DMI_barrier_init(addr + (int64_t)offsetof(struct shared, barrier)));
  memset(chunk, 1, sizeof chunk);
  for (int64_t i = 0; i < CHUNKS; i++) BENCH_CHECK(DMI_write(shared.memory + i * CHUNK, CHUNK, chunk, DMI_PUT, NULL));
  for (int i = 0; i < THREADS; i++) BENCH_CHECK(DMI_create(&threads[i], here, addr, 0, NULL));
  for (int i = 0; i < THREADS; i++) BENCH_CHECK(DMI_join(threads[i], &bytes, NULL));
  bench_report("pte-16x128MiB", (double)bytes, "B");
}
