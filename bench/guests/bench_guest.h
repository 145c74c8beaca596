/* What the benchmark guests share: a clock, medians, and results as JSON lines on stdout. */
#ifndef BENCH_GUEST_H
#define BENCH_GUEST_H
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <x86intrin.h>

/* The cycle counter, which is the same on every core and costs no system call, and its rate. */
static inline uint64_t ticks(void) { return __rdtsc(); }

static inline int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* ns per tick, from 50 ms of both clocks. */
static inline double tick_ns(void) {
  int64_t start = now_ns();
  uint64_t from = ticks();
  int64_t end;
  while ((end = now_ns()) - start < 50000000) {
  }
  return (double)(end - start) / (double)(ticks() - from);
}

static inline int bench_compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static inline double bench_median(double *samples, int n) {
  qsort(samples, (size_t)n, sizeof *samples, bench_compare);
  return n > 0 ? samples[n / 2] : 0;
}

static inline void bench_report(const char *name, double value, const char *unit) {
  printf("{\"name\":\"%s\",\"value\":%.6g,\"unit\":\"%s\"}\n", name, value, unit);
  fflush(stdout);
}

/* Ends the job, not only the thread, with a message when a DMI call has failed. */
#define BENCH_CHECK(call)                                                                   \
  do {                                                                                      \
    if (!(call)) {                                                                          \
      fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, DMI_error());           \
      abort();                                                                              \
    }                                                                                       \
  } while (0)
#endif
