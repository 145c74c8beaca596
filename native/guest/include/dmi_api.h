/* dmi_api.h: the C interface of DMI, an elastic global-view PGAS runtime.
 *
 * Source-compatible with version 1.5 of the original interface. Every DMI_* call returns TRUE (1) or FALSE (0) unless
 * shown otherwise; on FALSE errno says why and DMI_error() gives one sentence. A global address is an int64_t.
 * Compile with dmicc (dmicxx for C++), run with `dmi run`.
 *
 * A trailing DMI_local_status_t *status: NULL = the call blocks until it is done; otherwise it starts, returns at once and
 * is completed by DMI_check or DMI_wait, until which every buffer must stay valid.
 *
 * Parameters named `in` receive data into the caller's memory, those named `out` are sent out of it.
 *
 * In C++ the helpers of dmi_helpers.h that are bare words (catch, throw, out, err, error, E, PI ...) are left out unless
 * DMI_BARE_WORDS is defined, for they would break the standard headers.
 */
#ifndef DMI_API_H
#define DMI_API_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* mremap and friends, if this header comes first */
#endif

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef TRUE
#define TRUE 1
#endif
#ifndef FALSE
#define FALSE 0
#endif

/* ---- constants ---------------------------------------------------------------------------------------------- */
#define DMI_TRUE 1
#define DMI_FALSE 0
#define DMI_NULL (-1)      /* no global address */
#define DMI_AUTOMATIC (-1) /* as a dmi_id: wherever there is room */
#define DMI_ID_UNDEF (-2)  /* no dmi_id */

/* Access modes. */
#define DMI_GET 20        /* read: fetch just the bytes, cache nothing */
#define DMI_INVALIDATE 21 /* read: cache the page here until somebody writes it */
#define DMI_UPDATE 22     /* read: cache the page here, kept current by pushed updates */
#define DMI_EXCLUSIVE 23  /* write: become the owner of the page, then write here */
#define DMI_PUT 24        /* write: ship the bytes to the owner */

/* States of a node. */
#define DMI_OPEN 20   /* wants to join */
#define DMI_OPENED 21 /* in */
#define DMI_CLOSE 22  /* wants to leave */
#define DMI_CLOSED 23 /* gone */

/* Operations and types of an allreduce. */
#define DMI_OP_MAX 20
#define DMI_OP_MIN 21
#define DMI_OP_SUM 22
#define DMI_OP_PROD 23
#define DMI_TYPE_CHAR 20
#define DMI_TYPE_SHORT 21
#define DMI_TYPE_INT 22
#define DMI_TYPE_LONG 23
#define DMI_TYPE_LONGLONG 24
#define DMI_TYPE_FLOAT 25
#define DMI_TYPE_DOUBLE 26

/* ---- types -------------------------------------------------------------------------------------------------- */
/* A member of the job: one process, usually one per machine. */
typedef struct {
  int32_t state; /* DMI_OPEN, DMI_OPENED, DMI_CLOSE, DMI_CLOSED */
  int32_t dmi_id;
  int32_t core;   /* cores it computes on */
  int64_t memory; /* bytes of global memory it offers */
  char hostname[128];
} DMI_node_t;

/* The name of a thread, stable wherever it moves. Passed by value. */
typedef struct {
  int32_t dmi_id; /* where it was created */
  int32_t thread_id;
} DMI_thread_t;

/* Objects in global memory: map sizeof(T) bytes and pass the global address. Their contents are private. */
typedef struct { int64_t dmi_private[4]; } DMI_mutex_t;
typedef struct { int64_t dmi_private[3]; } DMI_cond_t;
typedef struct { int8_t dmi_private[1]; } DMI_spinlock_t;
typedef struct { int64_t dmi_private[4]; } DMI_barrier_t;
typedef struct { int64_t dmi_private[4]; } DMI_idpool_t;
typedef struct { int64_t dmi_private[5]; } DMI_rwset_t;
typedef struct { int64_t dmi_private[7]; } DMI_rwset2_t;
typedef struct { int64_t dmi_private[11]; } DMI_scheduler_t;

/* Objects in the caller's own memory. Their contents are private; they move with the thread. */
typedef struct { int64_t dmi_private[2]; } DMI_local_status_t;
typedef struct { int64_t dmi_private[9]; } DMI_local_group_t;
typedef struct { int64_t dmi_private[4]; } DMI_local_barrier_t;
typedef struct { int64_t dmi_private[11]; } DMI_local_rwset_t;
typedef struct { int64_t dmi_private[14]; } DMI_local_rwset2_t;

/* What a mutex or condition is before its first use, to be written over its global address. */
extern DMI_mutex_t DMI_MUTEX_INITIALIZER;
extern DMI_cond_t DMI_COND_INITIALIZER;

/* ---- entry points: the program supplies those it needs ------------------------------------------------------ */
/* The first thread, on the first process of the job. */
void DMI_main(int argc, char **argv);
/* What DMI_create and DMI_scheduler_create start; its value is what DMI_join gives. */
int64_t DMI_thread(int64_t dmi_addr);
/* What DMI_rescale starts. Rank 0's value decides: 0 = finished, else a new set is started. */
int32_t DMI_scaleunit(int my_rank, int pnum, int64_t scaleunit_addr);
/* Optional: TRUE if DMI_rescale may start with these nodes. */
int32_t DMI_start_scale(DMI_node_t *in_nodes, int in_node_num);
/* Optional: 1 if the running set is to be re-formed now. in: nodes that came, out: those that go, cur: the set's nodes. */
int32_t DMI_judge_rescale(DMI_node_t *in_nodes, DMI_node_t *out_nodes, DMI_node_t *cur_nodes, int in_node_num,
                          int out_node_num, int cur_node_num);
/* User-defined read-modify-write operations, selected by tag: runs atomically on the bytes at page_ptr. out_*: the
 * operation's input, in_*: its result. It runs at the page's owner, in an instance of the program kept for this. It must
 * not block. */
void DMI_function(void *page_ptr, int64_t size, void *out_ptr, int64_t out_size, void *in_ptr, int64_t in_size,
                  int8_t tag);

/* One sentence about this thread's last failure; never NULL. Valid until the next failure. */
const char *DMI_error(void);

/* ---- global memory ------------------------------------------------------------------------------------------ */
/* Maps page_num zero-filled pages of page_size bytes, contiguously. The page is the unit of coherence. Page i is first
 * owned by the (i mod N)-th member. */
int32_t DMI_mmap(int64_t *addr, int64_t page_size, int64_t page_num, DMI_local_status_t *status);
int32_t DMI_munmap(int64_t addr, DMI_local_status_t *status);
/* size bytes in pages of page_size; freed by DMI_free, from any thread. */
int32_t DMI_malloc(int64_t *addr, int64_t size, int64_t page_size);
int32_t DMI_realloc(int64_t old_addr, int64_t *new_addr, int64_t size, int64_t page_size);
int32_t DMI_free(int64_t addr);
/* [addr, addr+size) to `in`. mode: DMI_GET, DMI_INVALIDATE, DMI_UPDATE. */
int32_t DMI_read(int64_t addr, int64_t size, void *in, int8_t mode, DMI_local_status_t *status);
/* `out` to [addr, addr+size). mode: DMI_PUT, DMI_EXCLUSIVE. Size 0 with DMI_EXCLUSIVE only takes ownership. */
int32_t DMI_write(int64_t addr, int64_t size, const void *out, int8_t mode, DMI_local_status_t *status);
/* Blocks while [addr, addr+size) equals `in`; then copies what it became to `out`. */
int32_t DMI_watch(int64_t addr, int64_t size, const void *in, void *out, DMI_local_status_t *status);
/* Pins pages here / unpins them: pinned pages are exempt from eviction. */
int32_t DMI_save(int64_t addr, int64_t size);
int32_t DMI_unsave(int64_t addr, int64_t size);

/* ---- read-modify-write: [addr, addr+size) lies within one page; mode DMI_PUT or DMI_EXCLUSIVE --------------- */
int32_t DMI_atomic(int64_t addr, int64_t size, const void *out, int64_t out_size, void *in, int64_t in_size, int8_t tag,
                   int8_t mode, DMI_local_status_t *status);
/* If [addr, addr+size) equals cmp, it becomes swap and *swapped TRUE. */
int32_t DMI_cas(int64_t addr, int64_t size, const void *cmp, const void *swap, int8_t *swapped, int8_t mode,
                DMI_local_status_t *status);
/* [addr, addr+size) becomes `out`; `in` receives what it was. */
int32_t DMI_fas(int64_t addr, int64_t size, const void *out, void *in, int8_t mode, DMI_local_status_t *status);
/* Adds to the int64_t at addr; *fetched is what it was. */
int32_t DMI_fad(int64_t addr, int64_t add, int64_t *fetched, int8_t mode, DMI_local_status_t *status);

/* ---- groups: many discrete pieces in one call, one message per owner ---------------------------------------- */
int32_t DMI_group_init(DMI_local_group_t *group, const int64_t *addrs, const int64_t *ptr_offsets, const int64_t *sizes,
                       int32_t n);
int32_t DMI_group_destroy(DMI_local_group_t *group);
/* [addrs[i], +sizes[i]) to base + ptr_offsets[i] (bytes). */
int32_t DMI_group_read(DMI_local_group_t *group, void *base, int8_t mode, DMI_local_status_t *status);
int32_t DMI_group_write(DMI_local_group_t *group, const void *base, int8_t mode, DMI_local_status_t *status);

/* ---- read-write-sets: each element is written by exactly one domain ----------------------------------------- */
int32_t DMI_rwset_init(int64_t rwset_addr, int64_t element_num, int64_t element_size, int32_t domains);
/* The elements (global numbers) domain my_id writes. */
int32_t DMI_rwset_decompose(int64_t rwset_addr, int32_t my_id, const int64_t *write_elements, int32_t n);
int32_t DMI_rwset_destroy(int64_t rwset_addr);
/* Waits for the domains that write the elements to be decomposed. */
int32_t DMI_local_rwset_init(DMI_local_rwset_t *local, int64_t rwset_addr, int32_t my_id, const int64_t *read_elements,
                             int32_t n);
/* Publishes my elements' values, in write_elements order. */
int32_t DMI_local_rwset_write(DMI_local_rwset_t *local, const void *buf, DMI_local_status_t *status);
/* Gathers the values of read_elements, in that order. */
int32_t DMI_local_rwset_read(DMI_local_rwset_t *local, void *buf, DMI_local_status_t *status);
int32_t DMI_local_rwset_destroy(DMI_local_rwset_t *local);

/* The same, but an element may be written by several domains and the read side is laid out contiguously. */
int32_t DMI_rwset2_init(int64_t rwset_addr, int64_t element_num, int64_t element_size, int32_t domains);
int32_t DMI_rwset2_decompose(int64_t rwset_addr, int32_t my_id, const int64_t *write_elements, int32_t write_num,
                             const int64_t *read_elements, int32_t read_num);
int32_t DMI_rwset2_destroy(int64_t rwset_addr);
int32_t DMI_local_rwset2_init(DMI_local_rwset2_t *local, int64_t rwset_addr, int32_t my_id);
int32_t DMI_local_rwset2_write(DMI_local_rwset2_t *local, const void *buf, DMI_local_status_t *status);
int32_t DMI_local_rwset2_read(DMI_local_rwset2_t *local, void *buf, DMI_local_status_t *status);
int32_t DMI_local_rwset2_destroy(DMI_local_rwset2_t *local);

/* ---- asynchrony --------------------------------------------------------------------------------------------- */
/* TRUE if the call is done, its result in *ret. Never blocks. */
int32_t DMI_check(DMI_local_status_t *status, int32_t *ret);
void DMI_wait(DMI_local_status_t *status, int32_t *ret);

/* ---- synchronisation: objects at global addresses. Blocked threads do not burn a core ----------------------- */
int32_t DMI_mutex_init(int64_t addr);
int32_t DMI_mutex_destroy(int64_t addr);
int32_t DMI_mutex_lock(int64_t addr);
int32_t DMI_mutex_unlock(int64_t addr);
int32_t DMI_mutex_trylock(int64_t addr, int32_t *locked);
int32_t DMI_cond_init(int64_t addr);
int32_t DMI_cond_destroy(int64_t addr);
int32_t DMI_cond_signal(int64_t addr);
int32_t DMI_cond_broadcast(int64_t addr);
int32_t DMI_cond_wait(int64_t cond_addr, int64_t mutex_addr);
int32_t DMI_spin_init(int64_t addr);
int32_t DMI_spin_destroy(int64_t addr);
int32_t DMI_spin_lock(int64_t addr);
int32_t DMI_spin_unlock(int64_t addr);
int32_t DMI_spin_trylock(int64_t addr, int32_t *locked);
int32_t DMI_barrier_init(int64_t addr);
int32_t DMI_barrier_destroy(int64_t addr);
int32_t DMI_local_barrier_init(DMI_local_barrier_t *local, int64_t barrier_addr);
int32_t DMI_local_barrier_destroy(DMI_local_barrier_t *local);
/* Returns when pnum threads have arrived. */
int32_t DMI_local_barrier_sync(DMI_local_barrier_t *local, int32_t pnum);
/* Combines pnum values (DMI_OP_*, DMI_TYPE_*); the result is bit-identical on every thread. */
int32_t DMI_local_barrier_allreduce(DMI_local_barrier_t *local, int32_t pnum, const void *sub, void *result, int8_t op,
                                    int8_t type);
/* A pool of the numbers 0 .. id_max-1. DMI_idpool_get gives FALSE with EAGAIN when all are out. */
int32_t DMI_idpool_init(int64_t addr, int32_t id_max);
int32_t DMI_idpool_destroy(int64_t addr);
int32_t DMI_idpool_get(int64_t addr, int32_t *id);
int32_t DMI_idpool_put(int64_t addr, int32_t id);

/* ---- threads ------------------------------------------------------------------------------------------------ */
/* Starts DMI_thread(dmi_addr) in process dmi_id (DMI_AUTOMATIC: wherever there is room). stack_size in bytes, 0 = default. */
int32_t DMI_create(DMI_thread_t *thread, int32_t dmi_id, int64_t dmi_addr, int64_t stack_size,
                   DMI_local_status_t *status);
int32_t DMI_join(DMI_thread_t thread, int64_t *result, DMI_local_status_t *status);
int32_t DMI_detach(DMI_thread_t thread, DMI_local_status_t *status);
int32_t DMI_self(DMI_thread_t *thread);
/* Returns at the first DMI_wake that comes after it; `in` receives the bytes that came with it. */
int32_t DMI_suspend(void *in);
int32_t DMI_wake(DMI_thread_t thread, const void *out, int64_t size, DMI_local_status_t *status);
int32_t DMI_migrate(DMI_thread_t thread, int32_t dmi_id, DMI_thread_t *moved, int8_t *migrated,
                    DMI_local_status_t *status);
/* A point at which the runtime may move this thread (it may elsewhere, too). */
int32_t DMI_yield(void);

/* Memory shared between threads that are on the same node, by name (an extension; not in the original interface): loads and
 * stores at native speed, no coherence protocol, ordered by C11 atomics. Pointers hold on one node only, so a thread does not
 * move while it exports or has imported something: dmi ps shows why, and a drain waits for it.
 *
 * DMI_export: 1 to 255 bytes of name, unique in the thread (EEXIST). DMI_import: ENOENT when the thread exports nothing of that
 * name, EXDEV when it is not on this node (on another, or ended). Imported memory is for loads and stores: other calls do not
 * take pointers into it (EFAULT). It stays mapped until DMI_unimport, even when its thread withdraws it or ends; what the thread
 * frees or unmaps itself is gone. */
int32_t DMI_export(const char *name, void *ptr, int64_t size);
int32_t DMI_unexport(const char *name);
int32_t DMI_import(DMI_thread_t thread, const char *name, void **ptr, int64_t *size); /* size may be NULL */
int32_t DMI_unimport(void *ptr); /* as DMI_import gave it */

/* Memory that moves with the thread: here that is all memory, so these are the libc calls. */
void *DMI_thread_malloc(size_t size);
void *DMI_thread_realloc(void *ptr, size_t size);
void DMI_thread_free(void *ptr);
void *DMI_thread_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
void *DMI_thread_mremap(void *old_addr, size_t old_size, size_t new_size, int flags);
int DMI_thread_mprotect(void *addr, size_t length, int prot);
int DMI_thread_munmap(void *addr, size_t length);

/* ---- transparent scaling: threads that run wherever there is room and move as nodes come and go ------------- */
int32_t DMI_scheduler_init(int64_t addr);
int32_t DMI_scheduler_destroy(int64_t addr);
int32_t DMI_scheduler_create(int64_t addr, int32_t *sthread_id, int64_t dmi_addr);
int32_t DMI_scheduler_join(int64_t addr, int32_t sthread_id, int64_t *result);
int32_t DMI_scheduler_detach(int64_t addr, int32_t sthread_id);

/* ---- reconfiguration: the thread set is re-formed as nodes come and go -------------------------------------- */
/* Waits for init_node_num processes, starts thread_num threads in each (<= 0: as many as it has cores), all in
 * DMI_scaleunit; again with the then present nodes whenever the set is re-formed. Returns when a set ends for good. */
int32_t DMI_rescale(int64_t scaleunit_addr, int32_t init_node_num, int32_t thread_num);
/* Called by all threads of the set together: *judge is TRUE on all when the set is to be re-formed: save to global memory
 * and return non-zero from DMI_scaleunit. */
int32_t DMI_check_rescale(int32_t *judge);

/* ---- membership, by hand ------------------------------------------------------------------------------------ */
/* The process this thread is on now. */
int32_t DMI_rank(int32_t *dmi_id);
/* The first `capacity` nodes, in ascending dmi_id; *n is how many entries were filled. */
int32_t DMI_nodes(DMI_node_t *array, int32_t *n, int32_t capacity);
int32_t DMI_poll(DMI_node_t *node);
int32_t DMI_peek(DMI_node_t *node, int8_t *found);
int32_t DMI_welcome(int32_t dmi_id);
int32_t DMI_goodbye(int32_t dmi_id);
int32_t DMI_fork(const char *option, int32_t dmi_id, DMI_node_t *node);
int32_t DMI_kill(int32_t dmi_id);

/* ---- objects: global memory addressed by id ----------------------------------------------------------------- */
int32_t DMI_new_object(int32_t *ids, const int64_t *sizes, int32_t n, DMI_local_status_t *status);
int32_t DMI_delete_object(const int32_t *ids, int32_t n, DMI_local_status_t *status);
int32_t DMI_read_object(int32_t id, int64_t offset, int64_t size, void *in, int8_t mode, DMI_local_status_t *status);
int32_t DMI_write_object(int32_t id, int64_t offset, int64_t size, const void *out, int8_t mode,
                         DMI_local_status_t *status);
int32_t DMI_gread_object(int32_t id, const int64_t *offsets, const int64_t *sizes, const int64_t *ptr_offsets, int32_t n,
                         void *in, int8_t mode, DMI_local_status_t *status);
int32_t DMI_gwrite_object(int32_t id, const int64_t *offsets, const int64_t *sizes, const int64_t *ptr_offsets, int32_t n,
                          const void *out, int8_t mode, DMI_local_status_t *status);
/* The next four act on the whole object. */
int32_t DMI_watch_object(int32_t id, const void *in, void *out, DMI_local_status_t *status);
int32_t DMI_atomic_object(int32_t id, const void *out, int64_t out_size, void *in, int64_t in_size, int8_t tag,
                          int8_t mode, DMI_local_status_t *status);
int32_t DMI_cas_object(int32_t id, const void *cmp, const void *swap, int8_t *swapped, int8_t mode,
                       DMI_local_status_t *status);
int32_t DMI_fas_object(int32_t id, const void *out, void *in, int8_t mode, DMI_local_status_t *status);
int32_t DMI_getsize_object(int32_t id, int64_t *size, int8_t mode, DMI_local_status_t *status);
int32_t DMI_setsize_object(int32_t id, int64_t size, int8_t mode, DMI_local_status_t *status);
int32_t DMI_save_object(int32_t id);
int32_t DMI_unsave_object(int32_t id);

#ifdef __cplusplus
}
#endif

#include "dmi_helpers.h"
#endif
