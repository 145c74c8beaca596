/* Mutexes, conditions, spin locks, barriers: the host's engine keeps them by address, with their waiters queued at the
 * address's home. Their bytes in global memory only say that they are initialised. */
#include "guest.h"

DMI_mutex_t DMI_MUTEX_INITIALIZER;
DMI_cond_t DMI_COND_INITIALIZER;

static int32_t object_init(enum dmi_kind kind, int64_t addr) {
  int64_t mark = dmi_mark(kind, addr);
  return dmi_mark_fresh(kind, addr) && dmi_put(addr, 8, &mark);
}
static int32_t object_destroy(int64_t addr) {
  int64_t none = 0;
  return dmi_object_op(DMI_K_OBJECT_DESTROY, addr, NULL) && dmi_put(addr, 8, &none);
}
static int32_t try_lock(int64_t addr, int32_t *locked) {
  int64_t value;
  if (locked == NULL) return dmi_fail(EFAULT, "a try-lock needs a place for its answer");
  if (!dmi_object_op(DMI_K_MUTEX_TRYLOCK, addr, &value)) return FALSE;
  *locked = value != 0;
  return TRUE;
}

int32_t DMI_mutex_init(int64_t addr) { return object_init(DMI_IS_MUTEX, addr); }
int32_t DMI_mutex_destroy(int64_t addr) { return object_destroy(addr); }
int32_t DMI_mutex_lock(int64_t addr) { return dmi_object_op(DMI_K_MUTEX_LOCK, addr, NULL); }
int32_t DMI_mutex_unlock(int64_t addr) { return dmi_object_op(DMI_K_MUTEX_UNLOCK, addr, NULL); }
int32_t DMI_mutex_trylock(int64_t addr, int32_t *locked) { return try_lock(addr, locked); }

int32_t DMI_cond_init(int64_t addr) { return object_init(DMI_IS_COND, addr); }
int32_t DMI_cond_destroy(int64_t addr) { return object_destroy(addr); }
int32_t DMI_cond_signal(int64_t addr) { return dmi_object_op(DMI_K_COND_SIGNAL, addr, NULL); }
int32_t DMI_cond_broadcast(int64_t addr) { return dmi_object_op(DMI_K_COND_BROADCAST, addr, NULL); }
int32_t DMI_cond_wait(int64_t cond_addr, int64_t mutex_addr) {
  if (!dmi_range(cond_addr, 0) || !dmi_range(mutex_addr, 0)) return FALSE;
  struct dmi_gate_op op = {.kind = DMI_K_COND_WAIT, .addr = cond_addr, .addr2 = mutex_addr};
  return dmi_run(&op, NULL, NULL);
}

/* A spin lock is a mutex of one byte: with many threads to a core and locks held on other machines, spinning would only
 * take the core from the thread that is to unlock. */
#define SPIN_MARK 0x5a
int32_t DMI_spin_init(int64_t addr) {
  int8_t mark;
  if (!dmi_get(addr, 1, &mark)) return FALSE;
  if (mark == SPIN_MARK)
    return dmi_fail(EEXIST, "the spin lock at %lld is already initialised: destroy it first", (long long)addr);
  mark = SPIN_MARK;
  return dmi_put(addr, 1, &mark);
}
int32_t DMI_spin_destroy(int64_t addr) {
  int8_t none = 0;
  return dmi_object_op(DMI_K_OBJECT_DESTROY, addr, NULL) && dmi_put(addr, 1, &none);
}
int32_t DMI_spin_lock(int64_t addr) { return dmi_object_op(DMI_K_MUTEX_LOCK, addr, NULL); }
int32_t DMI_spin_unlock(int64_t addr) { return dmi_object_op(DMI_K_MUTEX_UNLOCK, addr, NULL); }
int32_t DMI_spin_trylock(int64_t addr, int32_t *locked) { return try_lock(addr, locked); }

int32_t DMI_barrier_init(int64_t addr) { return object_init(DMI_IS_BARRIER, addr); }
int32_t DMI_barrier_destroy(int64_t addr) { return object_destroy(addr); }

struct local_barrier { int64_t addr, mark; };

int32_t DMI_local_barrier_init(DMI_local_barrier_t *local, int64_t barrier_addr) {
  if (local == NULL) return dmi_fail(EFAULT, "DMI_local_barrier_init needs a DMI_local_barrier_t");
  if (!dmi_range(barrier_addr, 0)) return FALSE;
  struct local_barrier *l = (struct local_barrier *)local;
  l->addr = barrier_addr;
  l->mark = dmi_mark(DMI_IS_BARRIER, barrier_addr);
  return TRUE;
}

static struct local_barrier *barrier_of(DMI_local_barrier_t *local, int32_t pnum) {
  struct local_barrier *l = (struct local_barrier *)local;
  if (l == NULL || l->mark != dmi_mark(DMI_IS_BARRIER, l->addr)) {
    dmi_fail(EINVAL, "the local barrier is not initialised");
    return NULL;
  }
  if (pnum <= 0) {
    dmi_fail(EINVAL, "a barrier of %d threads: the number must be positive", pnum);
    return NULL;
  }
  return l;
}

int32_t DMI_local_barrier_destroy(DMI_local_barrier_t *local) {
  struct local_barrier *l = barrier_of(local, 1);
  if (l == NULL) return FALSE;
  l->mark = 0;
  return TRUE;
}

int32_t DMI_local_barrier_sync(DMI_local_barrier_t *local, int32_t pnum) {
  struct local_barrier *l = barrier_of(local, pnum);
  if (l == NULL) return FALSE;
  struct dmi_gate_op op = {.kind = DMI_K_BARRIER, .addr = l->addr, .count = pnum};
  return dmi_run(&op, NULL, NULL);
}

int32_t DMI_local_barrier_allreduce(DMI_local_barrier_t *local, int32_t pnum, const void *sub, void *result, int8_t op,
                                    int8_t type) {
  static const int8_t bytes[] = {sizeof(char), sizeof(short), sizeof(int), sizeof(long), sizeof(long long),
                                 sizeof(float), sizeof(double)};
  struct local_barrier *l = barrier_of(local, pnum);
  if (l == NULL) return FALSE;
  if (op < DMI_OP_MAX || op > DMI_OP_PROD || type < DMI_TYPE_CHAR || type > DMI_TYPE_DOUBLE)
    return dmi_fail(EINVAL, "an allreduce does not know the operation %d on the type %d", op, type);
  if (sub == NULL || result == NULL) return dmi_fail(EFAULT, "an allreduce needs a value and a place for its result");
  int64_t size = bytes[type - DMI_TYPE_CHAR];
  struct dmi_gate_op o = {.kind = DMI_K_ALLREDUCE, .addr = l->addr, .count = pnum, .size = size, .in = sub,
                          .in_size = size, .out = result, .out_size = size, .op = op, .type = type};
  return dmi_run(&o, NULL, NULL);
}
