/* Read-write-sets: a ring of domains with scattered ghosts; sets are made and destroyed while threads move. */
#include "check.h"

enum { PER = 60, SIZE = 24, GHOSTS = 25 };

static void value(int64_t e, int64_t when, int64_t *v) {
  for (int k = 0; k < SIZE / 8; k++) v[k] = mix(e, when, k);
}

static void exchange(int64_t set, int64_t when_base, int rounds) {
  int64_t mine[PER], ghosts[2 * GHOSTS + 1], v[3], out_values[PER * 3], in_values[(2 * GHOSTS + 1) * 3];
  int64_t n = shared.threads;
  /* The domain d writes, in each row i, the element at column (d + 3 i) mod n; listed from the last row to the first. */
  for (int64_t i = 0; i < PER; i++) mine[i] = (PER - 1 - i) * n + (rank + 3 * (PER - 1 - i)) % n;
  int32_t count = 0;
  for (int64_t i = 0; i < GHOSTS; i++) /* of both neighbours, mixed, not in order */
    for (int64_t side = 1; side < n && side <= 2; side++) {
      int64_t row = (i * 7 + side) % PER, other = (rank + (side == 1 ? 1 : n - 1)) % n;
      ghosts[count++] = row * n + (other + 3 * row) % n;
    }
  ghosts[count++] = mine[5]; /* and one of my own */
  if (rank % 2) CHECK(DMI_yield());
  CHECK(DMI_rwset_decompose(set, rank, mine, PER));
  DMI_local_rwset_t local;
  CHECK(DMI_local_rwset_init(&local, set, rank, ghosts, count)); /* no barrier: it waits for the others */
  for (int64_t round = 0; round < rounds; round++) {
    int64_t when = when_base + round;
    for (int i = 0; i < PER; i++) value(mine[i], when, out_values + 3 * i);
    CHECK(DMI_local_rwset_write(&local, out_values, NULL));
    meet();
    memset(in_values, 0, sizeof in_values);
    if (round % 2) {
      DMI_local_status_t status;
      int32_t ok;
      CHECK(DMI_local_rwset_read(&local, in_values, &status));
      CHECK(DMI_yield());
      DMI_wait(&status, &ok);
      CHECK(ok);
    } else {
      CHECK(DMI_local_rwset_read(&local, in_values, NULL));
    }
    for (int i = 0; i < count; i++) {
      value(ghosts[i], when, v);
      CHECK(memcmp(v, in_values + 3 * i, SIZE) == 0);
    }
    CHECK(DMI_yield());
    meet();
  }
  CHECK(DMI_local_rwset_destroy(&local));
  meet();
}

int64_t DMI_thread(int64_t addr) {
  enter(addr);
  int64_t set = shared.data[0];
  while (again()) {
    if (rank == 0) CHECK(DMI_rwset_init(set, PER * shared.threads, SIZE, (int32_t)shared.threads));
    meet();
    exchange(set, 1000 * round_number, 8);
    if (rank == 0) CHECK(DMI_rwset_destroy(set));
  }
  return DONE;
}

void DMI_main(int argc, char **argv) {
  prepare(argc, argv);
  shared.data[0] = map(sizeof(DMI_rwset_t), 1);
  run_threads();
  unmap(shared.data[0]);
  finish("rwset");
}
