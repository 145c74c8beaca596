/* app.h: what the applications share besides ../dmi/check.h, which says how they are started and what they print.
 *
 * An application computes the same thing in parallel and, in rank 0, sequentially, in every round anew, and compares: bit by
 * bit where the order of operations is the same or exact arithmetic makes it immaterial. All input comes from SEED.
 */
#ifndef APP_H
#define APP_H
#include "../dmi/check.h"

enum { SEED = 20101 };

/* The i-th number of a stream (splitmix64): 64 random bits that any thread can compute by itself. */
static inline uint64_t random_bits(int64_t stream, int64_t i) {
  uint64_t x = (uint64_t)SEED * 0x9e3779b97f4a7c15u + (uint64_t)stream * 0xd1342543de82ef95u + (uint64_t)i * 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}
/* In [0,1). */
static inline double random_unit(int64_t stream, int64_t i) { return (double)(random_bits(stream, i) >> 11) * 0x1p-53; }

/* Of n things in a row, the first that belongs to rank `who`; to the last rank's successor: n. */
static inline int64_t first_of(int64_t n, int64_t who) { return n * who / shared.threads; }

static inline void take(int64_t addr, int64_t size, const void *from) { CHECK(DMI_write(addr, size, from, DMI_EXCLUSIVE, NULL)); }
static inline void fetch(int64_t addr, int64_t size, void *to) { CHECK(DMI_read(addr, size, to, DMI_INVALIDATE, NULL)); }

/* In DMI_main: like prepare, and says what the numbers come from. */
static inline void start(int argc, char **argv) {
  prepare(argc, argv);
  outn("seed %d", SEED);
}
/* In DMI_main: runs all threads, unmaps shared.data[0 .. mappings), and ends. */
static inline void run_to_end(const char *name, int mappings) {
  int64_t data[16];
  memcpy(data, shared.data, sizeof data);
  run_threads();
  for (int i = 0; i < mappings; i++) unmap(data[i]);
  finish(name);
}
#endif
