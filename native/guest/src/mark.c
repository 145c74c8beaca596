/* Marks: the first 8 bytes of an initialised object in global memory tell what it is and where, so a second init, a use
 * before init and a stale copy are recognised. */
#include "guest.h"

static const char *const names[] = {
    "?",         "mutex",      "condition",        "barrier",     "id pool", "read-write-set", "read-write-set (rwset2)",
    "scheduler", "thread set", "DMI_malloc block", "object table"};

int64_t dmi_mark(enum dmi_kind kind, int64_t addr) {
  uint64_t x = (uint64_t)addr * 0x9e3779b97f4a7c15u + (uint64_t)kind; /* any mixing will do */
  return (int64_t)((x ^ x >> 29) | 1u);
}

int32_t dmi_mark_fresh(enum dmi_kind kind, int64_t addr) {
  int64_t mark;
  if (!dmi_get(addr, 8, &mark)) return FALSE;
  if (mark == dmi_mark(kind, addr))
    return dmi_fail(EEXIST, "the %s at %lld is already initialised: destroy it first", names[kind], (long long)addr);
  return TRUE;
}

int32_t dmi_mark_check(enum dmi_kind kind, int64_t addr, int64_t mark) {
  if (mark == dmi_mark(kind, addr)) return TRUE;
  return dmi_fail(EINVAL, "there is no initialised %s at %lld", names[kind], (long long)addr);
}
