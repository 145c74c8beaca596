/* Id pools: the numbers 0 .. max-1; those that came back are a linked list through `next`, given out last in, first out.
 * All under the mutex named by the pool's address. */
#include "guest.h"

struct idpool {
  int64_t mark;
  int64_t next;  /* global address of int32_t next[max]: the list, or OUT */
  int32_t head;  /* first free id of the list, or END */
  int32_t fresh; /* ids never given out so far: fresh .. max-1 */
  int32_t max;
  int32_t pad;
};
_Static_assert(sizeof(struct idpool) <= sizeof(DMI_idpool_t), "idpool");

enum { OUT = -1, END = -2 };
#define PAGE_IDS 1024

static int32_t read_pool(int64_t addr, struct idpool *pool) {
  return dmi_get(addr, sizeof *pool, pool) && dmi_mark_check(DMI_IS_IDPOOL, addr, pool->mark);
}

int32_t DMI_idpool_init(int64_t addr, int32_t id_max) {
  if (id_max <= 0) return dmi_fail(EINVAL, "an id pool of %d ids: the number must be positive", id_max);
  struct idpool pool = {.mark = dmi_mark(DMI_IS_IDPOOL, addr), .head = END, .max = id_max};
  return dmi_mark_fresh(DMI_IS_IDPOOL, addr) &&
         DMI_mmap(&pool.next, PAGE_IDS * 4, ((int64_t)id_max + PAGE_IDS - 1) / PAGE_IDS, NULL) &&
         dmi_put(addr, sizeof pool, &pool);
}

int32_t DMI_idpool_destroy(int64_t addr) {
  struct idpool pool, none = {0};
  return read_pool(addr, &pool) && dmi_object_op(DMI_K_OBJECT_DESTROY, addr, NULL) && DMI_munmap(pool.next, NULL) &&
         dmi_put(addr, sizeof none, &none);
}

static int32_t take(int64_t addr, int32_t *id) {
  struct idpool pool;
  if (!read_pool(addr, &pool)) return FALSE;
  int32_t taken, out = OUT;
  if (pool.head != END) {
    taken = pool.head;
    if (!dmi_get(pool.next + 4 * (int64_t)taken, 4, &pool.head)) return FALSE;
  } else if (pool.fresh < pool.max) {
    taken = pool.fresh++;
  } else {
    return dmi_fail(EAGAIN, "all %d ids of the pool at %lld are out", pool.max, (long long)addr);
  }
  if (!dmi_put(pool.next + 4 * (int64_t)taken, 4, &out) || !dmi_put(addr, sizeof pool, &pool)) return FALSE;
  *id = taken;
  return TRUE;
}

static int32_t give_back(int64_t addr, int32_t id) {
  struct idpool pool;
  int32_t state;
  if (!read_pool(addr, &pool)) return FALSE;
  if (id < 0 || id >= pool.fresh || !dmi_get(pool.next + 4 * (int64_t)id, 4, &state) || state != OUT)
    return dmi_fail(EINVAL, "the id %d of the pool at %lld is not out", id, (long long)addr);
  if (!dmi_put(pool.next + 4 * (int64_t)id, 4, &pool.head)) return FALSE;
  pool.head = id;
  return dmi_put(addr, sizeof pool, &pool);
}

static int32_t unlock(int64_t addr, int32_t ok) {
  int saved = errno;
  int32_t unlocked = dmi_object_op(DMI_K_MUTEX_UNLOCK, addr, NULL);
  if (!ok) errno = saved;
  return ok && unlocked;
}

int32_t DMI_idpool_get(int64_t addr, int32_t *id) {
  if (id == NULL) return dmi_fail(EFAULT, "DMI_idpool_get needs a place for the id");
  return dmi_object_op(DMI_K_MUTEX_LOCK, addr, NULL) && unlock(addr, take(addr, id));
}
int32_t DMI_idpool_put(int64_t addr, int32_t id) {
  return dmi_object_op(DMI_K_MUTEX_LOCK, addr, NULL) && unlock(addr, give_back(addr, id));
}
