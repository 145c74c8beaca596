/* Linear memory, traps and the stack's limit: what compiled code (wasm_body.h) asks of the runtime. */
#ifndef DMI_TS_MEMORY_H
#define DMI_TS_MEMORY_H
#include <stdint.h>

#include "wasm-rt.h"

/* Where linear memory begins: the same for the whole life of the thread, wherever it moves. It is written once, before any
 * compiled code runs, and is `const` here so that the compiler need not read it again after every store. */
#ifdef DMI_TS_DEFINES_MEMORY
extern uint8_t *dmi_ts_memory;
#else
extern uint8_t *const dmi_ts_memory;
#endif
/* Linear memory as wasm2c knows it; NULL before it is there. */
extern wasm_rt_memory_t *dmi_ts_memory_state;
/* Below this address the stack is nearly exhausted. */
extern uintptr_t dmi_ts_stack_limit;
/* Where the program's own frames begin: the highest address that can hold a reference. */
extern uintptr_t dmi_ts_stack_base;

enum dmi_ts_trap { DMI_TS_OOB, DMI_TS_INT_OVERFLOW, DMI_TS_DIV_BY_ZERO, DMI_TS_INVALID_CONVERSION, DMI_TS_UNREACHABLE,
                   DMI_TS_CALL_INDIRECT, DMI_TS_EXHAUSTION };
/* Reports what went wrong and where, and ends the job. Never returns. */
__attribute__((noreturn, cold)) void dmi_ts_trap(enum dmi_ts_trap trap);

/* Reserves linear memory and notes the stack's bounds. `frame`: of the caller that stays as long as the program runs. */
void dmi_ts_memory_init(void *frame);
/* Bytes the program wanted when memory could not grow any more; 0: that has not happened. */
extern uint64_t dmi_ts_wanted;
/* Bytes linear memory can grow to. */
extern uint64_t dmi_ts_reserved;
#endif
