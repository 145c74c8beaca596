/* Running operations, and the asynchronous calls in flight.
 *
 * A status is 16 bytes: state | slot, and a serial number. It is in flight iff the slot's serial is that number, so
 * neither stack garbage nor a copy of an old status passes for one. When its call is done it holds the result itself and
 * the slot is free for others.
 *
 *   (anything) --start--> FLIGHT --check/wait--> DONE(errno or 0) --start--> FLIGHT ...
 */
#include "guest.h"

#define FLIGHT 0x444d4946u /* upper half of the first word */
#define DONE 0x444d4944u

struct status { uint32_t slot, state; int64_t serial; }; /* the view of a DMI_local_status_t; done: serial = errno */
_Static_assert(sizeof(struct status) == sizeof(DMI_local_status_t), "status");

struct slot {
  int64_t serial; /* 0: free */
  uint64_t handle;
  struct dmi_after after;
  uint32_t next_free;
};
static struct slot *slots;
static uint32_t slot_count, first_free; /* first_free == slot_count: none */
static int64_t last_serial;

static struct slot *find(const DMI_local_status_t *status) {
  struct status s;
  memcpy(&s, status, sizeof s);
  if (s.state != FLIGHT || s.slot >= slot_count || s.serial <= 0 || slots[s.slot].serial != s.serial) return NULL;
  return &slots[s.slot];
}

static int32_t reserve(void) {
  if (first_free < slot_count) return TRUE;
  uint32_t count = slot_count ? 2 * slot_count : 64;
  struct slot *more = realloc(slots, count * sizeof *more);
  if (more == NULL) return dmi_fail(ENOMEM, "no memory for %u asynchronous calls in flight", count);
  for (uint32_t i = slot_count; i < count; i++) {
    more[i].serial = 0;
    more[i].next_free = i + 1;
  }
  slots = more;
  first_free = slot_count;
  slot_count = count;
  return TRUE;
}

static void deliver(const struct dmi_after *after, int64_t value, int32_t ok) {
  if (after == NULL) return;
  if (ok && after->value) {
    if (after->value_size == 8) memcpy(after->value, &value, 8);
    else if (after->value_size == 4) *(int32_t *)after->value = (int32_t)value;
    else *(int8_t *)after->value = (int8_t)value;
  }
  if (after->done) after->done(after->context, ok);
}

static void mark_done(DMI_local_status_t *status, int error) {
  struct status s = {0, DONE, error};
  memcpy(status, &s, sizeof s);
}

int32_t dmi_status_done(DMI_local_status_t *status, int32_t ok) {
  if (status) mark_done(status, ok ? 0 : errno);
  return ok;
}

/* Blocks until the call in `slot` is done, and frees the slot. The errno value, 0 for success. */
static int finish(struct slot *slot) {
  struct dmi_gate_wait wait = {.handle = slot->handle};
  int64_t r = DMI_GATE->call(DMI_G_WAIT, &wait);
  if (r >= 0) r = wait.result;
  int failed = 0;
  if (r < 0) {
    dmi_fail_host(r);
    failed = errno;
  }
  struct dmi_after after = slot->after;
  slot->serial = 0;
  slot->next_free = first_free;
  first_free = (uint32_t)(slot - slots);
  deliver(&after, wait.value, !failed); /* last: it may start operations, which may move `slots` */
  return failed;
}

static int is_done(const struct slot *slot) {
  struct dmi_gate_wait wait = {.handle = slot->handle};
  return DMI_GATE->call(DMI_G_CHECK, &wait) < 0 || wait.done;
}

int32_t dmi_status_free(DMI_local_status_t *status) {
  if (status == NULL) return TRUE;
  struct slot *slot = find(status);
  if (slot == NULL) return TRUE;
  if (!is_done(slot)) return dmi_fail(EBUSY, "the status belongs to a call in flight: DMI_wait for it first");
  mark_done(status, finish(slot));
  return TRUE;
}

int32_t dmi_run(struct dmi_gate_op *op, DMI_local_status_t *status, const struct dmi_after *after) {
  if (status == NULL) {
    int32_t ok = dmi_result(DMI_GATE->call(DMI_G_OP, op));
    int saved = errno;
    deliver(after, op->value, ok);
    if (!ok) errno = saved;
    return ok;
  }
  if (!dmi_status_free(status)) return FALSE; /* and the status stays what it is */
  int32_t ok = reserve();
  if (ok) {
    op->flags |= DMI_GF_ASYNC;
    ok = dmi_result(DMI_GATE->call(DMI_G_OP, op));
  }
  if (!ok) {
    mark_done(status, errno);
    int saved = errno;
    deliver(after, 0, FALSE);
    errno = saved;
    return FALSE;
  }
  struct slot *slot = &slots[first_free];
  struct status s = {first_free, FLIGHT, ++last_serial};
  first_free = slot->next_free;
  slot->serial = s.serial;
  slot->handle = op->handle;
  slot->after = after ? *after : (struct dmi_after){0};
  memcpy(status, &s, sizeof s);
  return TRUE;
}

/* The result a done status holds. */
static int32_t result_of(const DMI_local_status_t *status) {
  struct status s;
  memcpy(&s, status, sizeof s);
  if (s.state != DONE) return dmi_fail(EINVAL, "the status belongs to no call: give it to an asynchronous call first");
  if (s.serial == 0) return TRUE;
  errno = (int)s.serial;
  return FALSE;
}

int32_t DMI_check(DMI_local_status_t *status, int32_t *ret) {
  if (status == NULL) return dmi_fail(EINVAL, "DMI_check needs a status");
  struct slot *slot = find(status);
  if (slot) {
    if (!is_done(slot)) return FALSE;
    mark_done(status, finish(slot));
  }
  int32_t result = result_of(status);
  if (ret) *ret = result;
  return TRUE;
}

void DMI_wait(DMI_local_status_t *status, int32_t *ret) {
  int32_t result = FALSE;
  if (status == NULL) {
    dmi_fail(EINVAL, "DMI_wait needs a status");
  } else {
    struct slot *slot = find(status);
    if (slot) mark_done(status, finish(slot));
    result = result_of(status);
  }
  if (ret) *ret = result;
}
