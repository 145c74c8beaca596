/* What programs get from the header besides DMI: bit-exact random numbers, timers, checked memory, macros. */
#include "check.h"

static int32_t refuses(void) {
  throw(DMI_munmap(-1, NULL));
  return TRUE;
}

int64_t DMI_thread(int64_t addr) {
  enter(addr);
  uint64_t x[521];
  int c = 0, d = 521;
  int8_t saved[DMI_MRAND_BYTES];
  while (again()) {
    int64_t seed = 1000 + rank;
    mrand_init(seed);
    x[0] = 645u * (uint64_t)seed;
    for (int i = 1; i < 521; i++) x[i] = 645u * x[i - 1] + 1234567u;
    c = 0, d = 521;
    for (int i = 0; i < 3000; i++) {
      x[c] ^= x[d - 32];
      double want = (double)x[c] * 0x1p-64;
      if (++c == 521) c = 0;
      if (++d == 553) d = 32;
      if (i == 1500) mrand_snapshot(saved);
      CHECK(mrand_01() == want);
      if (i % 500 == 0) CHECK(DMI_yield()); /* the generator moves with the thread */
    }
    mrand_resume(saved);
    mrand_01();
    for (int i = 0; i < 100; i++) {
      int64_t k = mrand_int(-3, 3);
      CHECK(k >= -3 && k <= 3);
    }
    double before = get_time();
    time_lap(rank % 128);
    halt(0.01);
    CHECK(time_diff(rank % 128) >= 0.009 && time_ref(rank % 128) >= before && get_time() >= before);
    char *p = my_calloc(100);
    for (int i = 0; i < 100; i++) CHECK(p[i] == 0);
    p = my_realloc(p, 1 << 20);
    p[(1 << 20) - 1] = 1;
    my_free(p);
    CHECK(bind_to_cpu(0) == TRUE);
    _flag0 = rank;
    CHECK(DMI_yield() && _flag0 == rank && _flag3 == 0);
    CHECK(!refuses());
  }
  CHECK(MIN(2, 3) == 2 && MAX(2, 3) == 3 && fabs(PI - 4 * atan(1)) < 1e-15 && fabs(E - exp(1)) < EPS12 && EPS6 == 1e-6);
  CHECK(UNDEF == -1 && TRUE == 1 && FALSE == 0 && PAGESIZE == 4096 && PROCNUM >= 1 && PROCNUM2 >= 1 && SUCCESS != FAILURE);
  CHECK(DMI_NULL == -1 && DMI_TRUE == TRUE && DMI_FALSE == FALSE && DMI_ID_UNDEF != DMI_AUTOMATIC && DMI_AUTOMATIC == -1 && DMI_GET == 20 && DMI_PUT == 24 && DMI_CLOSED == 23 && DMI_OP_PROD == 23 && DMI_TYPE_DOUBLE == 26);
  void *q = DMI_thread_malloc(100);
  CHECK(q && (q = DMI_thread_realloc(q, 200000)));
  DMI_thread_free(q);
  char *m = DMI_thread_mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(m != MAP_FAILED);
  m[8191] = 7;
  CHECK(DMI_yield() && m[8191] == 7);
  m = DMI_thread_mremap(m, 8192, 65536, MREMAP_MAYMOVE);
  CHECK(m != MAP_FAILED && m[8191] == 7 && m[65535] == 0);
  CHECK(DMI_thread_mprotect(m, 4096, PROT_READ) == 0 && DMI_thread_munmap(m, 65536) == 0);
  return DONE;
}

void DMI_main(int argc, char **argv) {
  mrand_init(42);
  prepare(argc, argv);
  err("%s", "");
  out("%s", "");
  run_threads();
  finish("helpers");
}
