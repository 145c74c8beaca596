/* check.h: what the conformance programs share.
 *
 *   PROGRAM [SECONDS]     DMI_THREADS threads (default 4); rounds go on for SECONDS (default: one round only), so that nodes
 *                         can join and leave and threads be moved in the middle.
 * A program prints `ok NAME` and exits 0, or says what failed and ends the job.
 */
#ifndef CHECK_H
#define CHECK_H
#include <stddef.h>

#include "dmi_api.h"

/* A thread's failure must not leave the others waiting for it: a trap ends the whole job. */
static inline void check_failed(const char *file, int line, const char *what) {
  int e = errno;
  printf("FAILED %s:%d: %s (errno: %s; DMI_error: %s)\n", file, line, what, strerror(e), DMI_error());
  fflush(stdout);
  __builtin_trap();
}
#define CHECK(condition) \
  do { \
    if (!(condition)) check_failed(__FILE__, __LINE__, #condition); \
  } while (0)
/* The call gives FALSE with this errno and a sentence. */
#define REFUSED(call, error_number) \
  do { \
    errno = 0; \
    if (call) check_failed(__FILE__, __LINE__, #call " is accepted"); \
    if (errno != (error_number)) check_failed(__FILE__, __LINE__, #call " gives another errno than " #error_number); \
    if (DMI_error()[0] == 0) check_failed(__FILE__, __LINE__, #call " gives no sentence"); \
  } while (0)

/* What all threads share, at the address each is started with. */
struct shared {
  int64_t threads;
  double seconds;    /* how long rounds go on, at most */
  char until[128];   /* a file that ends them when it appears; empty: none */
  int64_t barrier;
  int64_t go[2];     /* another round? by parity of the round */
  int64_t next_rank; /* fetch-and-add */
  int64_t data[16];  /* the program's */
};
static struct shared shared;
static int64_t shared_addr;
static DMI_local_barrier_t barrier;
static int32_t rank;
static int64_t round_number;
static double started;
enum { DONE = 4711 }; /* what a thread that got through gives */

static inline int64_t field(size_t offset) { return shared_addr + (int64_t)offset; }
static inline void meet(void) { CHECK(DMI_local_barrier_sync(&barrier, (int32_t)shared.threads)); }
static inline void get(int64_t addr, int64_t size, void *to) { CHECK(DMI_read(addr, size, to, DMI_GET, NULL)); }
static inline void put(int64_t addr, int64_t size, const void *from) { CHECK(DMI_write(addr, size, from, DMI_PUT, NULL)); }
static inline int64_t get_word(int64_t addr) {
  int64_t x;
  get(addr, 8, &x);
  return x;
}
static inline void put_word(int64_t addr, int64_t x) { put(addr, 8, &x); }
static inline int64_t add_word(int64_t addr, int64_t add) {
  int64_t before;
  CHECK(DMI_fad(addr, add, &before, DMI_PUT, NULL));
  return before;
}
static inline int64_t map(int64_t page_size, int64_t pages) {
  int64_t addr;
  CHECK(DMI_mmap(&addr, page_size, pages, NULL));
  return addr;
}
static inline void unmap(int64_t addr) { CHECK(DMI_munmap(addr, NULL)); }

/* In a thread: who am I, whom with. */
static inline void enter(int64_t addr) {
  shared_addr = addr;
  get(addr, sizeof shared, &shared);
  rank = (int32_t)add_word(field(offsetof(struct shared, next_rank)), 1);
  CHECK(DMI_local_barrier_init(&barrier, shared.barrier));
  started = get_time();
}
/* In all threads together: is there another round? TRUE once when no time is given. */
static inline int goes_on(void) {
  return get_time() - started < shared.seconds && !(shared.until[0] && access(shared.until, F_OK) == 0);
}
static inline int32_t again(void) {
  int64_t go = field(offsetof(struct shared, go)) + 8 * (round_number % 2);
  if (rank == 0) put_word(go, round_number == 0 || goes_on());
  meet();
  int64_t yes = get_word(go);
  round_number++;
  CHECK(DMI_yield());
  return yes != 0;
}
/* In DMI_main: fills shared from the command line and the environment. */
static inline void prepare(int argc, char **argv) {
  const char *setting = getenv("DMI_THREADS");
  shared.threads = setting && atoi(setting) > 0 ? atoi(setting) : 4;
  shared.seconds = argc > 1 ? atof(argv[1]) : 0;
  snprintf(shared.until, sizeof shared.until, "%s", argc > 2 ? argv[2] : "");
  shared.barrier = map(sizeof(DMI_barrier_t), 1);
  CHECK(DMI_barrier_init(shared.barrier));
}
/* In DMI_main: runs DMI_thread on all threads and joins them. */
static inline void run_threads(void) {
  int64_t addr = map(sizeof shared, 1);
  put(addr, sizeof shared, &shared);
  DMI_thread_t *threads = my_malloc(shared.threads * (int64_t)sizeof *threads);
  for (int64_t i = 0; i < shared.threads; i++) CHECK(DMI_create(&threads[i], DMI_AUTOMATIC, addr, 0, NULL));
  for (int64_t i = 0; i < shared.threads; i++) {
    int64_t value = 0;
    CHECK(DMI_join(threads[i], &value, NULL));
    CHECK(value == DONE);
  }
  my_free(threads);
  get(addr, sizeof shared, &shared);
  unmap(addr);
}
static inline void finish(const char *name) {
  CHECK(DMI_barrier_destroy(shared.barrier));
  unmap(shared.barrier);
  outn("ok %s", name);
}
/* A number that depends on all its arguments. */
static inline int64_t mix(int64_t a, int64_t b, int64_t c) {
  uint64_t x = (uint64_t)a * 0x9e3779b97f4a7c15u + (uint64_t)b * 0xc2b2ae3d27d4eb4fu + (uint64_t)c * 0x165667b19e3779f9u;
  return (int64_t)(x ^ x >> 31);
}
#endif
