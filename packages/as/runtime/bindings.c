/* The calls of assembly/@dmi/as/bindings.ts: DMI_* on pointers into linear memory, which is ordinary memory of the thread. A call that
 * can fail gives 0 when it has; then Z_dmiZ_failure has a sentence. */
#include "dmi_api.h"
#undef catch
#undef throw
#undef error
#undef E

#include "program.h"
#include "thread_arg.h"

struct Z_dmi_instance_t;
/* Imports are functions of an instance we have no use for. */
#define BIND(result, name, ...)                                           \
  result Z_dmiZ_##name(struct Z_dmi_instance_t *instance, ##__VA_ARGS__); \
  result Z_dmiZ_##name(__attribute__((unused)) struct Z_dmi_instance_t *instance, ##__VA_ARGS__)

static inline DMI_local_status_t *status_at(uint32_t at) { return at ? dmi_ts_at(at) : NULL; }

/* ---- global memory -------------------------------------------------------------------------------------------------- */
BIND(int64_t, map, int64_t page_size, int64_t pages) {
  int64_t address = 0;
  return DMI_mmap(&address, page_size, pages, NULL) ? address : 0;
}
BIND(int32_t, unmap, int64_t address) { return DMI_munmap(address, NULL); }
BIND(int32_t, read, int64_t address, int64_t size, uint32_t to, int32_t mode, uint32_t status) {
  return DMI_read(address, size, dmi_ts_at(to), (int8_t)mode, status_at(status));
}
BIND(int32_t, write, int64_t address, int64_t size, uint32_t from, int32_t mode, uint32_t status) {
  return DMI_write(address, size, dmi_ts_at(from), (int8_t)mode, status_at(status));
}
BIND(int32_t, watch, int64_t address, int64_t size, uint32_t from, uint32_t to) {
  return DMI_watch(address, size, dmi_ts_at(from), dmi_ts_at(to), NULL);
}
BIND(int32_t, save, int64_t address, int64_t size, int32_t pin) {
  return pin ? DMI_save(address, size) : DMI_unsave(address, size);
}
BIND(int32_t, fad, int64_t address, int64_t add, uint32_t to, int32_t mode) {
  int64_t before;
  if (!DMI_fad(address, add, &before, (int8_t)mode, NULL)) return 0;
  memcpy(dmi_ts_at(to), &before, sizeof before);
  return 1;
}
BIND(int32_t, fas, int64_t address, int64_t size, uint32_t from, uint32_t to, int32_t mode) {
  return DMI_fas(address, size, dmi_ts_at(from), dmi_ts_at(to), (int8_t)mode, NULL);
}
/* 1: it was something else, 2: swapped. */
BIND(int32_t, cas, int64_t address, int64_t size, uint32_t expected, uint32_t wanted, int32_t mode) {
  int8_t swapped = 0;
  if (!DMI_cas(address, size, dmi_ts_at(expected), dmi_ts_at(wanted), &swapped, (int8_t)mode, NULL)) return 0;
  return 1 + (swapped != 0);
}
BIND(int32_t, wait, uint32_t status) {
  int32_t ok = 0;
  DMI_wait(status_at(status), &ok);
  return ok;
}
/* 0: not yet, 1: done, -1: failed. */
BIND(int32_t, check, uint32_t status) {
  int32_t ok = 0;
  if (!DMI_check(status_at(status), &ok)) return 0;
  return ok ? 1 : -1;
}

/* ---- groups, read-write-sets ---------------------------------------------------------------------------------------- */
BIND(int32_t, group_init, uint32_t group, uint32_t addresses, uint32_t offsets, uint32_t sizes, int32_t n) {
  return DMI_group_init(dmi_ts_at(group), dmi_ts_at(addresses), dmi_ts_at(offsets), dmi_ts_at(sizes), n);
}
BIND(int32_t, group_read, uint32_t group, uint32_t to, int32_t mode, uint32_t status) {
  return DMI_group_read(dmi_ts_at(group), dmi_ts_at(to), (int8_t)mode, status_at(status));
}
BIND(int32_t, group_write, uint32_t group, uint32_t from, int32_t mode, uint32_t status) {
  return DMI_group_write(dmi_ts_at(group), dmi_ts_at(from), (int8_t)mode, status_at(status));
}
BIND(int32_t, group_destroy, uint32_t group) { return DMI_group_destroy(dmi_ts_at(group)); }

BIND(int32_t, rwset_init, int64_t address, int64_t elements, int64_t element_size, int32_t domains) {
  return DMI_rwset_init(address, elements, element_size, domains);
}
BIND(int32_t, rwset_decompose, int64_t address, int32_t me, uint32_t elements, int32_t n) {
  return DMI_rwset_decompose(address, me, dmi_ts_at(elements), n);
}
BIND(int32_t, rwset_destroy, int64_t address) { return DMI_rwset_destroy(address); }
BIND(int32_t, exchange_init, uint32_t local, int64_t address, int32_t me, uint32_t elements, int32_t n) {
  return DMI_local_rwset_init(dmi_ts_at(local), address, me, dmi_ts_at(elements), n);
}
BIND(int32_t, exchange_write, uint32_t local, uint32_t from, uint32_t status) {
  return DMI_local_rwset_write(dmi_ts_at(local), dmi_ts_at(from), status_at(status));
}
BIND(int32_t, exchange_read, uint32_t local, uint32_t to, uint32_t status) {
  return DMI_local_rwset_read(dmi_ts_at(local), dmi_ts_at(to), status_at(status));
}
BIND(int32_t, exchange_destroy, uint32_t local) { return DMI_local_rwset_destroy(dmi_ts_at(local)); }

/* ---- synchronisation -------------------------------------------------------------------------------------------------- */
BIND(int32_t, mutex, int32_t what, int64_t address) {
  int32_t locked = 0;
  switch (what) { /* the numbers of lock.ts */
    case 0: return DMI_mutex_init(address);
    case 1: return DMI_mutex_destroy(address);
    case 2: return DMI_mutex_lock(address);
    case 3: return DMI_mutex_unlock(address);
    default: return DMI_mutex_trylock(address, &locked) ? 1 + (locked != 0) : 0;
  }
}
BIND(int32_t, condition, int32_t what, int64_t address, int64_t mutex) {
  switch (what) {
    case 0: return DMI_cond_init(address);
    case 1: return DMI_cond_destroy(address);
    case 5: return DMI_cond_signal(address);
    case 6: return DMI_cond_broadcast(address);
    default: return DMI_cond_wait(address, mutex);
  }
}
BIND(int32_t, barrier_init, int64_t address) { return DMI_barrier_init(address); }
BIND(int32_t, barrier_destroy, int64_t address) { return DMI_barrier_destroy(address); }
BIND(int32_t, barrier_open, uint32_t local, int64_t address) { return DMI_local_barrier_init(dmi_ts_at(local), address); }
BIND(int32_t, barrier_sync, uint32_t local, int32_t n) { return DMI_local_barrier_sync(dmi_ts_at(local), n); }
BIND(int32_t, barrier_allreduce, uint32_t local, int32_t n, uint32_t mine, uint32_t all, int32_t op, int32_t type) {
  return DMI_local_barrier_allreduce(dmi_ts_at(local), n, dmi_ts_at(mine), dmi_ts_at(all), (int8_t)op, (int8_t)type);
}

/* ---- threads: a name is dmi_id | thread_id << 32 ------------------------------------------------------------------------ */
static int64_t pack_name(DMI_thread_t t) { return (int64_t)((uint64_t)(uint32_t)t.thread_id << 32 | (uint32_t)t.dmi_id); }
static DMI_thread_t unpack_name(int64_t name) {
  return (DMI_thread_t){.dmi_id = (int32_t)(uint32_t)name, .thread_id = (int32_t)(name >> 32)};
}

/* -1: it could not be started. */
BIND(int64_t, thread_create, int32_t node, uint32_t function, int64_t arg, int64_t stack) {
  DMI_thread_t thread;
  int64_t word;
  if (!dmi_ts_pack(function, arg, &word) || !DMI_create(&thread, node, word, stack, NULL)) return -1;
  return pack_name(thread);
}
BIND(int32_t, thread_join, int64_t thread, uint32_t result) { return DMI_join(unpack_name(thread), dmi_ts_at(result), NULL); }
BIND(int32_t, thread_detach, int64_t thread) { return DMI_detach(unpack_name(thread), NULL); }
BIND(int64_t, thread_self) {
  DMI_thread_t self = {0, 0};
  DMI_self(&self);
  return pack_name(self);
}
BIND(int32_t, thread_migrate, int64_t thread, int32_t node) {
  int8_t migrated = 0;
  return DMI_migrate(unpack_name(thread), node, NULL, &migrated, NULL) ? 1 + (migrated != 0) : 0;
}
BIND(int32_t, thread_suspend, uint32_t to) { return DMI_suspend(dmi_ts_at(to)); }
BIND(int32_t, thread_wake, int64_t thread, uint32_t from, int64_t size) {
  return DMI_wake(unpack_name(thread), dmi_ts_at(from), size, NULL);
}
BIND(int32_t, yield_now) { return DMI_yield(); }

BIND(int32_t, scheduler_init, int64_t address) { return DMI_scheduler_init(address); }
BIND(int32_t, scheduler_destroy, int64_t address) { return DMI_scheduler_destroy(address); }
/* -1: it could not be started. */
BIND(int32_t, scheduler_create, int64_t address, uint32_t function, int64_t arg) {
  int64_t word;
  int32_t id;
  return dmi_ts_pack(function, arg, &word) && DMI_scheduler_create(address, &id, word) ? id : -1;
}
BIND(int32_t, scheduler_join, int64_t address, int32_t id, uint32_t result) {
  return DMI_scheduler_join(address, id, dmi_ts_at(result));
}
BIND(int32_t, scheduler_detach, int64_t address, int32_t id) { return DMI_scheduler_detach(address, id); }

/* ---- nodes ------------------------------------------------------------------------------------------------------------ */
BIND(int32_t, rescale, int64_t arg, int32_t nodes, int32_t threads) { return DMI_rescale(arg, nodes, threads); }
/* 1: go on, 2: re-form. */
BIND(int32_t, check_rescale) {
  int32_t judge = 0;
  return DMI_check_rescale(&judge) ? 1 + (judge != 0) : 0;
}
BIND(int32_t, rank) {
  int32_t id = -1;
  return DMI_rank(&id) ? id : -1;
}
/* How many entries were filled; with no place for any, how many there are; -1: failed. */
BIND(int32_t, nodes, uint32_t to, int32_t capacity) {
  if (to) {
    int32_t n = 0;
    return DMI_nodes(dmi_ts_at(to), &n, capacity) ? n : -1;
  }
  for (int32_t room = 64;; room *= 2) {
    DMI_node_t *all = malloc((size_t)room * sizeof *all);
    int32_t n = -1;
    if (all == NULL || !DMI_nodes(all, &n, room)) n = -1;
    free(all);
    if (n < room) return n;
  }
}
BIND(int32_t, threads) {
  const char *setting = getenv("DMI_THREADS");
  const int n = setting ? atoi(setting) : 0;
  return n > 0 ? n : 1;
}
