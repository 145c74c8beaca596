/* Threads: creation, joining, mail, moves; and thread memory, which is all memory here. */
#include "guest.h"

#pragma weak DMI_thread

static struct dmi_gate_thread name(DMI_thread_t thread) {
  return (struct dmi_gate_thread){thread.dmi_id, thread.thread_id};
}

int32_t DMI_create(DMI_thread_t *thread, int32_t dmi_id, int64_t dmi_addr, int64_t stack_size,
                   DMI_local_status_t *status) {
  if (!dmi_status_free(status)) return FALSE;
  if (thread == NULL) return dmi_status_done(status, dmi_fail(EFAULT, "DMI_create needs a DMI_thread_t"));
  if (!DMI_thread) return dmi_status_done(status, dmi_fail(ENOENT, "the program defines no DMI_thread to start"));
  if (stack_size < 0 || dmi_id < DMI_AUTOMATIC)
    return dmi_status_done(status, dmi_fail(EINVAL, "DMI_create in process %d with a stack of %lld bytes", dmi_id,
                                            (long long)stack_size));
  struct dmi_gate_create create = {.dmi_id = dmi_id, .role = DMI_ROLE_THREAD, .arg = dmi_addr, .stack_size = stack_size};
  int32_t ok = dmi_result(DMI_GATE->call(DMI_G_CREATE, &create));
  if (ok) *thread = (DMI_thread_t){create.created.dmi_id, create.created.thread_id};
  return dmi_status_done(status, ok);
}

int32_t DMI_join(DMI_thread_t thread, int64_t *result, DMI_local_status_t *status) {
  if (!dmi_status_free(status)) return FALSE;
  DMI_thread_t self;
  if (DMI_self(&self) && self.dmi_id == thread.dmi_id && self.thread_id == thread.thread_id)
    return dmi_status_done(status, dmi_fail(EDEADLK, "a thread that waits for its own end waits for ever"));
  struct dmi_gate_op op = {.kind = DMI_K_EVENT_WAIT, .thread = name(thread)};
  struct dmi_after after = {.value = result, .value_size = 8};
  return dmi_run(&op, status, &after);
}

int32_t DMI_detach(DMI_thread_t thread, DMI_local_status_t *status) {
  if (!dmi_status_free(status)) return FALSE;
  struct dmi_gate_op op = {.kind = DMI_K_EVENT_DROP, .thread = name(thread)};
  return dmi_run(&op, status, NULL);
}

int32_t DMI_self(DMI_thread_t *thread) {
  if (thread == NULL) return dmi_fail(EFAULT, "DMI_self needs a DMI_thread_t");
  struct dmi_gate_thread self;
  if (!dmi_result(DMI_GATE->call(DMI_G_SELF, &self))) return FALSE;
  *thread = (DMI_thread_t){self.dmi_id, self.thread_id};
  return TRUE;
}

int32_t DMI_suspend(void *in) {
  /* The waker decides how many bytes come; `in` has room for them by the program's own agreement. */
  struct dmi_gate_op op = {.kind = DMI_K_MAIL_WAIT, .out = in, .out_size = in ? INT32_MAX : 0};
  return dmi_run(&op, NULL, NULL);
}

int32_t DMI_wake(DMI_thread_t thread, const void *out, int64_t size, DMI_local_status_t *status) {
  if (!dmi_status_free(status)) return FALSE;
  if (size < 0 || (out == NULL && size > 0))
    return dmi_status_done(status, dmi_fail(EINVAL, "DMI_wake with %lld bytes needs a buffer", (long long)size));
  struct dmi_gate_op op = {.kind = DMI_K_MAIL_POST, .thread = name(thread), .in = out, .in_size = size};
  return dmi_run(&op, status, NULL);
}

int32_t DMI_migrate(DMI_thread_t thread, int32_t dmi_id, DMI_thread_t *moved, int8_t *migrated,
                    DMI_local_status_t *status) {
  if (!dmi_status_free(status)) return FALSE;
  struct dmi_gate_migrate move = {.thread = name(thread), .dmi_id = dmi_id};
  int32_t ok = dmi_result(DMI_GATE->call(DMI_G_MIGRATE, &move));
  if (ok && moved) *moved = thread; /* its name is the same everywhere */
  if (ok && migrated) *migrated = move.migrated != 0;
  return dmi_status_done(status, ok);
}

int32_t DMI_yield(void) { return dmi_result(DMI_GATE->call(DMI_G_YIELD, NULL)); }

void *DMI_thread_malloc(size_t size) { return malloc(size); }
void *DMI_thread_realloc(void *ptr, size_t size) { return realloc(ptr, size); }
void DMI_thread_free(void *ptr) { free(ptr); }
void *DMI_thread_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset) {
  return mmap(addr, length, prot, flags, fd, offset);
}
void *DMI_thread_mremap(void *old_addr, size_t old_size, size_t new_size, int flags) {
  return mremap(old_addr, old_size, new_size, flags);
}
int DMI_thread_mprotect(void *addr, size_t length, int prot) { return mprotect(addr, length, prot); }
int DMI_thread_munmap(void *addr, size_t length) { return munmap(addr, length); }
