/* What the runtime needs of the compiled program, and the other way round. Addresses into linear memory are uint32_t. */
#ifndef DMI_TS_PROGRAM_H
#define DMI_TS_PROGRAM_H
#include <stdint.h>

#include "memory.h"

/* ---- of the program (instance.h, at the end of its C source) --------------------------------------------------------- */
void dmi_ts_instantiate(void); /* linear memory, static data, top-level code */
int32_t dmi_ts_main(void);
int64_t dmi_ts_thread(int64_t arg);
int32_t dmi_ts_scaleunit(int32_t rank, int32_t n, int64_t arg);
int64_t dmi_ts_call(uint32_t function, int64_t arg); /* the function with this index in the table */
void dmi_ts_mark(uint32_t object);                   /* the collector found a reference to it */
/* Names of functions in C and in TypeScript, in no order; a NULL ends the list. */
extern const char *const dmi_ts_names[][2];

/* ---- of the runtime ------------------------------------------------------------------------------------------------------ */
static inline void *dmi_ts_at(uint32_t address) { return dmi_ts_memory + address; }
/* A string of the program (UTF-16, its size in bytes before it) as UTF-8, malloc'ed; "" for null. */
char *dmi_ts_utf8(uint32_t string);
/* The program's arguments, once main.c has them. */
extern int dmi_ts_argc;
extern char **dmi_ts_argv;
#endif
