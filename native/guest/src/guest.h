/* guest.h: what the files of libdmi share. Private to the library.
 *
 * Everything here runs on the guest's own stack, in its own (single) thread, and all state is in the guest's image, so
 * it moves with the thread. The only way out is the gate (gate/gate.h); any call through DMI_GATE->call may return on
 * another host. Names of the library that are not DMI_* begin with dmi_.
 */
#ifndef DMI_GUEST_H
#define DMI_GUEST_H
#include "dmi_api.h"

#undef catch
#undef throw
#undef error
#undef out
#undef outn
#undef err
#undef errn
#undef E

#include "gate/gate.h"

/* ---- failures (error.c) ------------------------------------------------------------------------------------- */
/* Sets errno and the sentence DMI_error() gives; returns FALSE. */
int32_t dmi_fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The host's refusal (result < 0) of the last gate call; returns FALSE. */
int32_t dmi_fail_host(int64_t result);
/* TRUE for a host's result >= 0, else dmi_fail_host. */
static inline int32_t dmi_result(int64_t result) { return result >= 0 ? TRUE : dmi_fail_host(result); }

/* ---- operations (status.c) ---------------------------------------------------------------------------------- */
/* What remains to be done in the guest when an operation has completed. */
struct dmi_after {
  void *value;                 /* where op.value goes, or NULL */
  int32_t value_size;          /* 1, 4 or 8 bytes */
  void (*done)(void *context, int32_t ok); /* or NULL: called once, before the call or its DMI_wait returns */
  void *context;
};
/* Runs one operation: to its end when status is NULL, else starts it and fills status. `after` may be NULL. */
int32_t dmi_run(struct dmi_gate_op *op, DMI_local_status_t *status, const struct dmi_after *after);
/* FALSE (EBUSY) if status belongs to an operation in flight; TRUE if it is NULL or free. */
int32_t dmi_status_free(DMI_local_status_t *status);
/* For calls that were complete at once: gives status (may be NULL) the call's result `ok`, and returns it. */
int32_t dmi_status_done(DMI_local_status_t *status, int32_t ok);

/* ---- blocking shorthands ------------------------------------------------------------------------------------ */
int32_t dmi_get(int64_t addr, int64_t size, void *to);         /* DMI_read with DMI_GET */
int32_t dmi_put(int64_t addr, int64_t size, const void *from); /* DMI_write with DMI_PUT */
/* One group access: kind DMI_K_READ or DMI_K_WRITE. */
int32_t dmi_pieces(uint32_t kind, const struct dmi_gate_piece *pieces, int32_t n, int32_t mode, DMI_local_status_t *status,
                   const struct dmi_after *after);
/* A one-argument operation on the object at addr; value (may be NULL) receives op.value. */
int32_t dmi_object_op(uint32_t kind, int64_t addr, int64_t *value);
/* TRUE if [addr, addr+size) can be a global range; else FALSE with EFAULT or EINVAL. */
int32_t dmi_range(int64_t addr, int64_t size);

/* ---- objects in global memory begin with a mark (mark.c) ---------------------------------------------------- */
enum dmi_kind { DMI_IS_MUTEX = 1, DMI_IS_COND, DMI_IS_BARRIER, DMI_IS_IDPOOL, DMI_IS_RWSET, DMI_IS_RWSET2, DMI_IS_SCHEDULER,
                DMI_IS_SET, DMI_IS_BLOCK, DMI_IS_OBJECTS };
int64_t dmi_mark(enum dmi_kind kind, int64_t addr);
/* FALSE with EEXIST if the object at addr already bears its mark, or if addr is not mapped. */
int32_t dmi_mark_fresh(enum dmi_kind kind, int64_t addr);
/* FALSE with EINVAL unless `mark`, read from addr, is the object's. */
int32_t dmi_mark_check(enum dmi_kind kind, int64_t addr, int64_t mark);

/* ---- a table in global memory that grows and never moves (table.c) ------------------------------------------ */
#define DMI_TABLE_CHUNKS 6
/* Chunk k holds 256 << (4 * k) entries of 8 bytes: 256, 4 Ki, ... 256 Mi; it is mapped on first need, under the lock named
 * by the table's address. */
struct dmi_table {
  int64_t next; /* entries handed out so far */
  int64_t chunks[DMI_TABLE_CHUNKS];
};
/* The global address of a new entry, its index in *index. */
int32_t dmi_table_add(int64_t table, int64_t *index, int64_t *entry);
/* The global address of an entry (which is 0 if it was never set); FALSE with EINVAL if there cannot be one. */
int32_t dmi_table_entry(int64_t table, int64_t index, int64_t *entry);
int32_t dmi_table_destroy(int64_t table);

/* ---- membership (nodes.c) ----------------------------------------------------------------------------------- */
/* All nodes, in ascending id, in malloc'ed memory; the count or -1. */
int32_t dmi_all_nodes(DMI_node_t **nodes);

/* ---- the scaleunit this instance is (rescale.c) ------------------------------------------------------------- */
int64_t dmi_run_scaleunit(int32_t rank, int32_t count, int64_t set_addr);

static inline int32_t dmi_is_read_mode(int mode) { return mode >= DMI_GET && mode <= DMI_UPDATE; }
static inline int32_t dmi_is_write_mode(int mode) { return mode == DMI_EXCLUSIVE || mode == DMI_PUT; }
#endif
