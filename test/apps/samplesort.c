/* Sample sort: each thread sorts its piece, offers samples, cuts its piece at the splitters all agree on and writes the parts to
 * where their buckets lie; then it sorts its bucket. */
#include "app.h"

enum { N = 20000, SAMPLES = 24 };

/* Some keys occur often: buckets are uneven, and equal keys stay together. */
static uint64_t key(int64_t i) {
  const uint64_t x = random_bits(round_number, i);
  return x % 8 == 0 ? x % 64 : x;
}

static int by_value(const void *a, const void *b) {
  const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static void verify(int64_t at) {
  static uint64_t sequential[N], parallel[N];
  for (int64_t i = 0; i < N; i++) sequential[i] = key(i);
  qsort(sequential, N, 8, by_value);
  get(at, sizeof parallel, parallel);
  CHECK(memcmp(parallel, sequential, sizeof parallel) == 0);
}

int64_t DMI_thread(int64_t addr) {
  enter(addr);
  const int64_t n = shared.threads, keys = shared.data[0], samples = shared.data[1], counts = shared.data[2];
  const int64_t lo = first_of(N, rank), mine = first_of(N, rank + 1) - lo;
  static uint64_t piece[N];
  uint64_t sample[n * SAMPLES];
  int64_t cut[n + 1], count[n][n]; /* count[i][k]: keys that thread i has for bucket k */
  while (again()) {
    for (int64_t i = 0; i < mine; i++) piece[i] = key(lo + i);
    qsort(piece, (size_t)mine, 8, by_value);
    for (int64_t i = 0; i < SAMPLES; i++) sample[i] = piece[mine * i / SAMPLES];
    put(samples + rank * SAMPLES * 8, SAMPLES * 8, sample);
    meet();
    fetch(samples, n * SAMPLES * 8, sample);
    qsort(sample, (size_t)(n * SAMPLES), 8, by_value);
    cut[0] = 0, cut[n] = mine;
    for (int64_t k = 1; k < n; k++)
      for (cut[k] = cut[k - 1]; cut[k] < mine && piece[cut[k]] < sample[k * SAMPLES];) cut[k]++;
    for (int64_t k = 0; k < n; k++) count[0][k] = cut[k + 1] - cut[k];
    take(counts + rank * n * 8, n * 8, count[0]);
    CHECK(DMI_yield());
    meet();
    fetch(counts, n * n * 8, count);
    int64_t at = 0, bucket = 0, size = 0;
    for (int64_t k = 0; k < n; k++)
      for (int64_t i = 0; i < n; i++) {
        if (i == rank) put(keys + at * 8, (cut[k + 1] - cut[k]) * 8, piece + cut[k]);
        if (i == 0 && k == rank) bucket = at;
        if (k == rank) size += count[i][k];
        at += count[i][k];
      }
    CHECK(at == N);
    meet();
    get(keys + bucket * 8, size * 8, piece);
    qsort(piece, (size_t)size, 8, by_value);
    take(keys + bucket * 8, size * 8, piece);
    CHECK(DMI_yield());
    meet();
    if (rank == 0) verify(keys);
  }
  return DONE;
}

void DMI_main(int argc, char **argv) {
  start(argc, argv);
  shared.data[0] = map(4096, N * 8 / 4096 + 1);
  shared.data[1] = map(SAMPLES * 8, shared.threads);
  shared.data[2] = map(shared.threads * 8, shared.threads);
  run_to_end("samplesort", 3);
}
