/* Linear memory inside the thread's region, and the runtime functions that wasm2c's instantiation calls.
 *
 *   dmi_ts_memory | in use: read-write | reserved: PROT_NONE ... | dmi_ts_reserved
 *
 * The reservation is address space only, taken once: memory that grows stays where it is, and only pages that were written are sent
 * when the thread moves. Its size comes from the region's (DMI_THREAD_MEMORY, set by `dmi run --thread-memory`), less a quarter
 * for the stack, the image and the C library.
 */
#define DMI_TS_DEFINES_MEMORY
#include "memory.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define WASM_PAGE 65536ull
#define DEFAULT_REGION (1ull << 30)
#define MOST (65535 * WASM_PAGE)  /* addresses are 32 bits */
#define LEAST (16 * WASM_PAGE)
#define STACK_MARGIN (40ul << 10) /* for the report, the gate, and the frame of a preemption */

uint8_t *dmi_ts_memory;
wasm_rt_memory_t *dmi_ts_memory_state;
uintptr_t dmi_ts_stack_limit, dmi_ts_stack_base;
uint64_t dmi_ts_wanted, dmi_ts_reserved;

static void refuse(const char *what) {
  fprintf(stderr, "dmi: %s: %s\n     give the threads more memory: dmi run --thread-memory 2G\n", what, strerror(errno));
  exit(2);
}

void dmi_ts_memory_init(void *frame) {
  const char *setting = getenv("DMI_THREAD_MEMORY");
  uint64_t region = setting ? strtoull(setting, NULL, 10) : 0;
  if (region == 0) region = DEFAULT_REGION;
  uint64_t size = region / 4 * 3 / WASM_PAGE * WASM_PAGE;
  if (size > MOST) size = MOST;
  if (size < LEAST) size = LEAST;
  void *start = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) refuse("there is no room for the program's memory");
  dmi_ts_memory = start;
  dmi_ts_reserved = size;

  struct rlimit stack;
  uintptr_t base = (uintptr_t)frame;
  if (getrlimit(RLIMIT_STACK, &stack) == 0 && stack.rlim_cur != RLIM_INFINITY && stack.rlim_cur > 2 * STACK_MARGIN)
    dmi_ts_stack_limit = base - stack.rlim_cur + STACK_MARGIN;
  dmi_ts_stack_base = base;
}

void wasm_rt_allocate_memory(wasm_rt_memory_t *m, uint32_t pages, uint32_t most) {
  if (pages * WASM_PAGE > dmi_ts_reserved || mprotect(dmi_ts_memory, pages * WASM_PAGE, PROT_READ | PROT_WRITE) != 0)
    refuse("the program's static data does not fit into its memory");
  *m = (wasm_rt_memory_t){dmi_ts_memory, pages, most, (uint32_t)(pages * WASM_PAGE)};
  dmi_ts_memory_state = m;
}

uint32_t wasm_rt_grow_memory(wasm_rt_memory_t *m, uint32_t more) {
  const uint32_t before = m->pages;
  const uint64_t size = ((uint64_t)before + more) * WASM_PAGE;
  if (size > dmi_ts_reserved || (uint64_t)before + more > m->max_pages) {
    /* The allocator asks for as much again first, and then for what it needs. */
    dmi_ts_wanted = size;
    return (uint32_t)-1;
  }
  if (more && mprotect(dmi_ts_memory + m->size, more * WASM_PAGE, PROT_READ | PROT_WRITE) != 0) {
    dmi_ts_wanted = size;
    return (uint32_t)-1;
  }
  dmi_ts_wanted = 0;
  m->pages = before + more;
  m->size = (uint32_t)size;
  return before;
}

void wasm_rt_free_memory(wasm_rt_memory_t *m) { (void)m; }

void wasm_rt_allocate_funcref_table(wasm_rt_funcref_table_t *table, uint32_t n, uint32_t most) {
  *table = (wasm_rt_funcref_table_t){calloc(n ? n : 1, sizeof(wasm_rt_funcref_t)), most, n};
  if (table->data == NULL) refuse("there is no room for the table of functions");
}

void wasm_rt_free_funcref_table(wasm_rt_funcref_table_t *table) { free(table->data); }

bool wasm_rt_is_initialized(void) { return true; }

/* A function type by its parameters' and results' types; equal types have equal numbers, which begin at 1. */
uint32_t wasm_rt_register_func_type(uint32_t parameters, uint32_t results, ...) {
  static char **known;
  static uint32_t n;
  char *type = malloc(parameters + results + 2);
  if (type == NULL) refuse("there is no room for the types of functions");
  va_list list;
  va_start(list, results);
  for (uint32_t i = 0; i < parameters + results; i++) type[i + (i >= parameters)] = (char)('0' + va_arg(list, wasm_rt_type_t));
  va_end(list);
  type[parameters] = '>';
  type[parameters + results + 1] = 0;
  for (uint32_t i = 0; i < n; i++)
    if (strcmp(known[i], type) == 0) {
      free(type);
      return i + 1;
    }
  char **longer = realloc(known, (n + 1) * sizeof *known);
  if (longer == NULL) refuse("there is no room for the types of functions");
  known = longer;
  known[n++] = type;
  return n;
}
