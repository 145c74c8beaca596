/* What a thread is started with: a function (its index in the table + 1, or 0 for the exported `thread`) and an argument of 64 bits,
 * in the one word that DMI_create takes.
 *
 *   | 0 | function: 15 bits | argument: 48 bits, signed |   if the argument fits
 *   | 1 | address of both in global memory: 63 bits     |   if not; whoever unpacks it frees them
 */
#ifndef DMI_TS_THREAD_ARG_H
#define DMI_TS_THREAD_ARG_H
#include <stdint.h>

/* TRUE, or FALSE with the failure of the call that did not work. */
int32_t dmi_ts_pack(uint32_t function, int64_t arg, int64_t *word);
uint32_t dmi_ts_unpack(int64_t word, int64_t *arg);
#endif
