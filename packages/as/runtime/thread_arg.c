#include "thread_arg.h"

#include "dmi_api.h"

#define BITS 48
#define FUNCTIONS (1u << 15)
#define ELSEWHERE INT64_MIN

struct both {
  int64_t function, arg;
};

static int64_t low(int64_t word) { return (int64_t)((uint64_t)word << (64 - BITS)) >> (64 - BITS); }

int32_t dmi_ts_pack(uint32_t function, int64_t arg, int64_t *word) {
  if (function < FUNCTIONS && low(arg) == arg) {
    *word = (int64_t)((uint64_t)function << BITS | ((uint64_t)arg & ((1ull << BITS) - 1)));
    return TRUE;
  }
  const struct both both = {function, arg};
  int64_t addr;
  if (!DMI_mmap(&addr, sizeof both, 1, NULL) || !DMI_write(addr, sizeof both, &both, DMI_PUT, NULL)) return FALSE;
  *word = ELSEWHERE | addr;
  return TRUE;
}

uint32_t dmi_ts_unpack(int64_t word, int64_t *arg) {
  if (word >= 0) {
    *arg = low(word);
    return (uint32_t)(word >> BITS);
  }
  struct both both = {0, 0};
  const int64_t addr = word & INT64_MAX;
  if (!DMI_read(addr, sizeof both, &both, DMI_GET, NULL) || !DMI_munmap(addr, NULL)) {
    fprintf(stderr, "dmi: a thread cannot be started: what it is to do cannot be read: %s\n", DMI_error());
    abort();
  }
  *arg = both.arg;
  return (uint32_t)both.function;
}
