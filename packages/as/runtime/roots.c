/* Which objects does something on this thread's own stack refer to? Compiled code keeps references in registers and stack slots as
 * 32-bit offsets, or as 64-bit pointers it has derived from them, possibly into an object's header, its middle or just past its end.
 * Whatever looks like one counts. */
#include <stdlib.h>
#include <string.h>

#include "program.h"

/* assembly/rt/index-dmi.ts: an object's header, before its first byte. */
struct header {
  uint32_t block, next_and_mark, next_grey, id, size;
};

struct Z_dmi_instance_t;
void Z_dmiZ_gc_roots(struct Z_dmi_instance_t *, uint32_t list);

/* One bit per 16 bytes of linear memory: an object begins there. */
static uint64_t *begins;

static int is_begin(uint32_t at) { return (int)(begins[at >> 10] >> (at >> 4 & 63) & 1); }

/* Where the object begins that [at] lies in, or ends at; 0: none. */
static uint32_t object_around(uint32_t at) {
  uint32_t word = at >> 10;
  uint64_t bits = begins[word] & (~0ull >> (63 - (at >> 4 & 63)));
  while (bits == 0 && word > 0) bits = begins[--word];
  if (bits == 0) return 0;
  const uint32_t start = word << 10 | (63u - (uint32_t)__builtin_clzll(bits)) << 4;
  const struct header *h = (const struct header *)(dmi_ts_memory + start) - 1;
  return at - start <= h->size ? start : 0;
}

static void consider(uint64_t value) {
  if (value == 0 || value > dmi_ts_memory_state->size) return;
  uint32_t at = (uint32_t)value;
  const uint32_t start = at < dmi_ts_memory_state->size ? object_around(at) : 0;
  if (start) dmi_ts_mark(start);
  /* Of an object whose length is read, its header's address may be all that is left. */
  const uint64_t behind = value + sizeof(struct header);
  const uint32_t after = behind < dmi_ts_memory_state->size ? object_around((uint32_t)behind) : 0;
  if (after && after != start) dmi_ts_mark(after);
  if (start == at && is_begin(at)) { /* or it is just past the end of the one before */
    const uint32_t before = object_around(at - 1);
    if (before) dmi_ts_mark(before);
  }
}

__attribute__((noinline)) static void scan(void) {
  /* From here up: the caller has put the registers of its callers on the stack. */
  for (const uint64_t *at = __builtin_frame_address(0); (uintptr_t)at < dmi_ts_stack_base; at++) {
    consider((uint32_t)*at);
    consider(*at >> 32);
    if (*at - (uintptr_t)dmi_ts_memory <= dmi_ts_memory_state->size) consider(*at - (uintptr_t)dmi_ts_memory);
  }
}

void Z_dmiZ_gc_roots(struct Z_dmi_instance_t *instance, uint32_t list) {
  (void)instance;
  begins = calloc((dmi_ts_memory_state->size >> 10) + 1, sizeof *begins);
  if (begins == NULL) dmi_ts_trap(DMI_TS_UNREACHABLE);
  for (uint32_t at = list; at;) {
    const struct header *h = dmi_ts_at(at);
    const uint32_t start = at + sizeof *h;
    begins[start >> 10] |= 1ull << (start >> 4 & 63);
    at = h->next_and_mark & ~1u;
  }
  __builtin_unwind_init();
  scan();
  free(begins);
  begins = NULL;
}
