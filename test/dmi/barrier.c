/* Barriers let nobody through early; an allreduce gives every thread the same bits. */
#include "check.h"

static double value(int64_t who, int64_t when) { return ldexp((double)(mix(who, when, 3) % 1000003), (int)(mix(when, who, 1) & 31)); }

int64_t DMI_thread(int64_t addr) {
  enter(addr);
  int32_t n = (int32_t)shared.threads;
  DMI_local_barrier_t other;
  CHECK(DMI_local_barrier_init(&other, shared.data[2]));
  for (int64_t step = 0; again();) {
    for (int i = 0; i < 30; i++, step++) {
      put_word(shared.data[0] + 8 * rank, step + 1);
      if ((i + rank) % 4 == 0) CHECK(DMI_yield());
      CHECK(DMI_local_barrier_sync(i % 2 ? &other : &barrier, n));
      for (int k = 0; k < n; k++) {
        int64_t there = get_word(shared.data[0] + 8 * k);
        CHECK(there == step + 1 || there == step + 2); /* another may be ahead, but not by a whole barrier */
      }
    }
    meet();
    for (int64_t i = 0; i < 10; i++) {
      double sub = value(rank, step + i), result;
      CHECK(DMI_local_barrier_allreduce(&barrier, n, &sub, &result, DMI_OP_SUM, DMI_TYPE_DOUBLE));
      put(shared.data[1] + 8 * rank, 8, &result);
      meet();
      double all[n], most = 0, sum = 0;
      get(shared.data[1], 8 * n, all);
      for (int k = 0; k < n; k++) {
        CHECK(memcmp(&all[k], &all[0], 8) == 0);
        sum += value(k, step + i);
        most += fabs(value(k, step + i));
      }
      CHECK(fabs(result - sum) <= 1e-12 * most);
      CHECK(DMI_yield());
      meet();
    }
    int8_t c = (int8_t)(rank % 100), cr;
    int16_t s = (int16_t)(rank - 3), sr;
    int32_t d = rank + 1, dr;
    int64_t l = rank * 10000000000, lr;
    long long p = rank % 5 == 0 ? 2 : 1, pr, power = 1;
    float f = (float)rank / 2, fr;
    CHECK(DMI_local_barrier_allreduce(&other, n, &c, &cr, DMI_OP_MAX, DMI_TYPE_CHAR));
    CHECK(DMI_local_barrier_allreduce(&other, n, &s, &sr, DMI_OP_MIN, DMI_TYPE_SHORT));
    CHECK(DMI_local_barrier_allreduce(&other, n, &d, &dr, DMI_OP_SUM, DMI_TYPE_INT));
    CHECK(DMI_local_barrier_allreduce(&other, n, &l, &lr, DMI_OP_MAX, DMI_TYPE_LONG));
    CHECK(DMI_local_barrier_allreduce(&other, n, &p, &pr, DMI_OP_PROD, DMI_TYPE_LONGLONG));
    CHECK(DMI_local_barrier_allreduce(&other, n, &f, &fr, DMI_OP_MAX, DMI_TYPE_FLOAT));
    for (int k = 0; k < n && k < 5 * 60; k += 5) power *= 2;
    CHECK(cr == (n > 100 ? 99 : n - 1) && sr == -3 && dr == n * (n + 1) / 2);
    CHECK(lr == (n - 1) * 10000000000 && (n > 300 || pr == power) && fr == (float)(n - 1) / 2);
  }
  CHECK(DMI_local_barrier_destroy(&other));
  return DONE;
}

void DMI_main(int argc, char **argv) {
  prepare(argc, argv);
  shared.data[0] = map(8, shared.threads);
  shared.data[1] = map(8 * shared.threads, 1);
  shared.data[2] = map(sizeof(DMI_barrier_t), 1);
  CHECK(DMI_barrier_init(shared.data[2]));
  run_threads();
  CHECK(DMI_barrier_destroy(shared.data[2]));
  for (int i = 0; i < 3; i++) unmap(shared.data[i]);
  finish("barrier");
}
