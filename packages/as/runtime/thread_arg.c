#include "thread_arg.h"

#include "dmi_api.h"

#define BITS 48
#define ELSEWHERE 0x7fffu

struct both {
  int64_t function, arg;
};

static int64_t low(int64_t word) { return (int64_t)((uint64_t)word << (64 - BITS)) >> (64 - BITS); }

int32_t dmi_ts_pack(uint32_t function, int64_t arg, int64_t *word) {
  uint64_t head = function;
  int64_t tail = arg;
  if (function >= ELSEWHERE || low(arg) != arg) {
    struct both both = {function, arg};
    if (!DMI_mmap(&tail, sizeof both, 1, NULL)) return FALSE;
    if (!DMI_write(tail, sizeof both, &both, DMI_PUT, NULL)) return FALSE;
    head = ELSEWHERE;
  }
  *word = (int64_t)(head << BITS | ((uint64_t)tail & ((1ull << BITS) - 1)));
  return TRUE;
}

uint32_t dmi_ts_unpack(int64_t word, int64_t *arg) {
  const uint32_t function = (uint32_t)((uint64_t)word >> BITS);
  *arg = low(word);
  if (function != ELSEWHERE) return function;
  struct both both = {0, 0};
  const int64_t addr = *arg;
  catch(DMI_read(addr, sizeof both, &both, DMI_GET, NULL));
  catch(DMI_munmap(addr, NULL));
  *arg = both.arg;
  return (uint32_t)both.function;
}
