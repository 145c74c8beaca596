/* dmi_helpers.h: what programs of the time expect from dmi_api.h besides DMI itself. Include dmi_api.h, not this.
 *
 * A thread is a whole program image, so what is called "per thread" below is an ordinary variable; the weak definitions
 * make it one variable per program however many files include this.
 */
#ifndef DMI_HELPERS_H
#define DMI_HELPERS_H

#ifdef __cplusplus
extern "C" {
#endif

/* In libdmi.a: what the macros and inline functions below lean on. */
void dmi_helper_failed(const char *file, int line, const char *call) __attribute__((noreturn));
void dmi_helper_passed(const char *file, int line, const char *function, const char *call);
void dmi_helper_print(FILE *to, int newline, const char *format, ...) __attribute__((format(printf, 3, 4)));
double dmi_helper_time(void);
void dmi_helper_sleep(double seconds);

__attribute__((weak)) int32_t _flag0, _flag1, _flag2, _flag3;

/* ---- time --------------------------------------------------------------------------------------------------- */
__attribute__((weak)) double dmi_helper_laps[128];

/* Wall-clock seconds. */
static inline double get_time(void) { return dmi_helper_time(); }
/* Starts lap timer i (0..127). */
static inline void time_lap(int i) { dmi_helper_laps[i] = get_time(); }
/* Seconds since time_lap(i). */
static inline double time_diff(int i) { return get_time() - dmi_helper_laps[i]; }
/* The moment of time_lap(i). */
static inline double time_ref(int i) { return dmi_helper_laps[i]; }
static inline void halt(double seconds) { dmi_helper_sleep(seconds); }

/* ---- checked memory; a failure ends the thread -------------------------------------------------------------- */
static inline void *my_malloc(int64_t size) {
  void *p = malloc((size_t)size);
  if (p == NULL && size != 0) dmi_helper_failed(__FILE__, __LINE__, "my_malloc");
  return p;
}
static inline void *my_calloc(int64_t size) {
  void *p = calloc((size_t)size, 1);
  if (p == NULL && size != 0) dmi_helper_failed(__FILE__, __LINE__, "my_calloc");
  return p;
}
static inline void *my_realloc(void *old, int64_t size) {
  void *p = realloc(old, (size_t)size);
  if (p == NULL && size != 0) dmi_helper_failed(__FILE__, __LINE__, "my_realloc");
  return p;
}
static inline void my_free(void *p) { free(p); }

/* A hint that the runtime does not need: it decides where a thread runs. */
static inline int32_t bind_to_cpu(int cpu) {
  (void)cpu;
  return 1;
}

/* ---- random numbers: a 521-word shift register, bit-exact --------------------------------------------------- */
#define DMI_MRAND_WORDS 521
#define DMI_MRAND_BYTES (DMI_MRAND_WORDS * 8 + 8) /* of a snapshot */
struct dmi_mrand {
  uint64_t x[DMI_MRAND_WORDS];
  int32_t c; /* the word to renew: 0..520 */
  int32_t d; /* the other tap, biased by 32: 32..552; 0 = not initialised */
};
__attribute__((weak)) struct dmi_mrand dmi_helper_mrand;

static inline void dmi_helper_mrand_fill(uint64_t seed, uint64_t addend) {
  struct dmi_mrand *g = &dmi_helper_mrand;
  uint64_t x = 645u * seed;
  for (int i = 0; i < DMI_MRAND_WORDS; i++) {
    g->x[i] = x;
    x = 645u * x + addend;
  }
  g->c = 0;
  g->d = 521;
}
static inline void mrand_init(int64_t seed) { dmi_helper_mrand_fill((uint64_t)seed, 1234567u); }

/* In [0,1). */
static inline double mrand_01(void) {
  struct dmi_mrand *g = &dmi_helper_mrand;
  if (g->d == 0) dmi_helper_mrand_fill(137u, 0u);
  uint64_t x = g->x[g->c] ^= g->x[g->d - 32];
  if (++g->c == 521) g->c = 0;
  if (++g->d == 553) g->d = 32;
  return (double)x * (1.0 / 18446744073709551616.0);
}
/* In lo..hi. */
static inline int64_t mrand_int(int64_t lo, int64_t hi) {
  return lo + (int64_t)(mrand_01() * (double)(hi - lo + 1));
}
/* The generator's state to DMI_MRAND_BYTES bytes, and back. */
static inline void mrand_snapshot(int8_t *buf) {
  if (dmi_helper_mrand.d == 0) dmi_helper_mrand_fill(137u, 0u);
  memcpy(buf, &dmi_helper_mrand, DMI_MRAND_BYTES);
}
static inline void mrand_resume(const int8_t *buf) { memcpy(&dmi_helper_mrand, buf, DMI_MRAND_BYTES); }

#ifdef __cplusplus
}
#endif

/* ---- macros ------------------------------------------------------------------------------------------------- */
#ifndef MIN
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#endif
#ifndef MAX
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#endif
#ifndef PAGESIZE
#define PAGESIZE ((int64_t)sysconf(_SC_PAGESIZE))
#endif
#define PROCNUM ((int32_t)sysconf(_SC_NPROCESSORS_ONLN))
#define PROCNUM2 ((int32_t)sysconf(_SC_NPROCESSORS_CONF))

#if !defined(__cplusplus) || defined(DMI_BARE_WORDS)
/* When a call gives FALSE: catch prints errno's text, file and line and exits; throw prints a line and returns FALSE. */
#define catch(call) \
  do { \
    if (!(call)) dmi_helper_failed(__FILE__, __LINE__, #call); \
  } while (0)
#define throw(call) \
  do { \
    if (!(call)) { \
      dmi_helper_passed(__FILE__, __LINE__, __func__, #call); \
      return 0; \
    } \
  } while (0)
#define error() dmi_helper_failed(__FILE__, __LINE__, NULL)

/* stdout and stderr, without and with a newline, flushed. */
#define out(...) dmi_helper_print(stdout, 0, __VA_ARGS__)
#define outn(...) dmi_helper_print(stdout, 1, __VA_ARGS__)
#define err(...) dmi_helper_print(stderr, 0, __VA_ARGS__)
#define errn(...) dmi_helper_print(stderr, 1, __VA_ARGS__)

#ifndef UNDEF
#define UNDEF (-1)
#endif
#ifndef SUCCESS
#define SUCCESS 0
#endif
#ifndef FAILURE
#define FAILURE (-1)
#endif
#ifndef PI
#define PI 3.14159265358979323846
#endif
#ifndef E
#define E 2.71828182845904523536
#endif
#ifndef EPS6
#define EPS6 1e-6
#endif
#ifndef EPS12
#define EPS12 1e-12
#endif
#endif
#endif
