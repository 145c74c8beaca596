/* Transparent scaling. The runtime places and moves threads by itself; a scheduler is only the list of names of the
 * threads started through it: sthread_id = index in a table of (dmi_id, thread_id), 0 where nobody is to be joined. */
#include "guest.h"

struct scheduler {
  int64_t mark;
  struct dmi_table threads;
};
_Static_assert(sizeof(struct scheduler) <= sizeof(DMI_scheduler_t), "scheduler");

static int64_t table_of(int64_t addr) { return addr + (int64_t)offsetof(struct scheduler, threads); }

/* A thread's name as a table entry, never 0. */
static int64_t pack(DMI_thread_t t) { return ((int64_t)(t.dmi_id + 1) << 32) | (uint32_t)t.thread_id; }
static DMI_thread_t unpack(int64_t entry) { return (DMI_thread_t){(int32_t)(entry >> 32) - 1, (int32_t)entry}; }

static int32_t check(int64_t addr) {
  int64_t mark;
  return dmi_get(addr, 8, &mark) && dmi_mark_check(DMI_IS_SCHEDULER, addr, mark);
}

int32_t DMI_scheduler_init(int64_t addr) {
  struct scheduler s = {.mark = dmi_mark(DMI_IS_SCHEDULER, addr)};
  return dmi_mark_fresh(DMI_IS_SCHEDULER, addr) && dmi_put(addr, sizeof s, &s);
}

int32_t DMI_scheduler_destroy(int64_t addr) {
  int64_t none = 0;
  return check(addr) && dmi_table_destroy(table_of(addr)) && dmi_put(addr, 8, &none);
}

int32_t DMI_scheduler_create(int64_t addr, int32_t *sthread_id, int64_t dmi_addr) {
  int64_t index, entry;
  DMI_thread_t thread;
  if (!check(addr) || !dmi_table_add(table_of(addr), &index, &entry)) return FALSE;
  if (!DMI_create(&thread, DMI_AUTOMATIC, dmi_addr, 0, NULL)) return FALSE;
  int64_t name = pack(thread);
  if (!dmi_put(entry, 8, &name)) return FALSE;
  if (sthread_id) *sthread_id = (int32_t)index;
  return TRUE;
}

/* Takes a thread's name out of the table: who gets it joins or detaches, and nobody else can. */
static int32_t take(int64_t addr, int32_t sthread_id, DMI_thread_t *thread) {
  int64_t entry, name, none = 0;
  if (!check(addr)) return FALSE;
  if (!dmi_table_entry(table_of(addr), sthread_id, &entry)) name = 0;
  else if (!DMI_fas(entry, 8, &none, &name, DMI_PUT, NULL)) return FALSE;
  if (name == 0)
    return dmi_fail(ESRCH, "the scheduler at %lld has no thread %d to join", (long long)addr, sthread_id);
  *thread = unpack(name);
  return TRUE;
}

int32_t DMI_scheduler_join(int64_t addr, int32_t sthread_id, int64_t *result) {
  DMI_thread_t thread;
  return take(addr, sthread_id, &thread) && DMI_join(thread, result, NULL);
}

int32_t DMI_scheduler_detach(int64_t addr, int32_t sthread_id) {
  DMI_thread_t thread;
  return take(addr, sthread_id, &thread) && DMI_detach(thread, NULL);
}
