/* Read-modify-write: within one page, run at its owner (PUT) or here after taking ownership (EXCLUSIVE). */
#include "guest.h"

static int32_t check(int64_t addr, int64_t size, int mode, int has_buffers, const char *call) {
  if (!dmi_is_write_mode(mode)) return dmi_fail(EINVAL, "%s does not know the mode %d", call, mode);
  if (!dmi_range(addr, size)) return FALSE;
  if (size == 0) return dmi_fail(EINVAL, "%s needs a positive size", call);
  if (!has_buffers) return dmi_fail(EFAULT, "%s needs its buffers", call);
  return TRUE;
}

int32_t DMI_atomic(int64_t addr, int64_t size, const void *out, int64_t out_size, void *in, int64_t in_size, int8_t tag,
                   int8_t mode, DMI_local_status_t *status) {
  if (!dmi_status_free(status)) return FALSE;
  if (out_size < 0 || in_size < 0)
    return dmi_status_done(status, dmi_fail(EINVAL, "DMI_atomic: a buffer's size is negative"));
  if (!check(addr, size, mode, (out || out_size == 0) && (in || in_size == 0), "DMI_atomic"))
    return dmi_status_done(status, FALSE);
  /* `out` goes out of the caller: it is the operation's input. */
  struct dmi_gate_op op = {.kind = DMI_K_FUNCTION, .mode = mode, .addr = addr, .size = size, .in = out,
                           .in_size = out_size, .out = in, .out_size = in_size, .tag = tag};
  return dmi_run(&op, status, NULL);
}

int32_t DMI_cas(int64_t addr, int64_t size, const void *cmp, const void *swap, int8_t *swapped, int8_t mode,
                DMI_local_status_t *status) {
  if (!dmi_status_free(status)) return FALSE;
  if (!check(addr, size, mode, cmp && swap, "DMI_cas")) return dmi_status_done(status, FALSE);
  struct dmi_gate_op op = {.kind = DMI_K_CAS, .mode = mode, .addr = addr, .size = size, .in = cmp, .in_size = size,
                           .in2 = swap};
  struct dmi_after after = {.value = swapped, .value_size = 1};
  return dmi_run(&op, status, &after);
}

int32_t DMI_fas(int64_t addr, int64_t size, const void *out, void *in, int8_t mode, DMI_local_status_t *status) {
  if (!dmi_status_free(status)) return FALSE;
  if (!check(addr, size, mode, out && in, "DMI_fas")) return dmi_status_done(status, FALSE);
  struct dmi_gate_op op = {.kind = DMI_K_FAS, .mode = mode, .addr = addr, .size = size, .in = out, .in_size = size,
                           .out = in, .out_size = size};
  return dmi_run(&op, status, NULL);
}

int32_t DMI_fad(int64_t addr, int64_t add, int64_t *fetched, int8_t mode, DMI_local_status_t *status) {
  int64_t before;
  if (status == NULL && dmi_is_write_mode(mode) && DMI_GATE->fast_fad(addr, add, &before) == 1) {
    if (fetched) *fetched = before;
    return TRUE;
  }
  if (!dmi_status_free(status)) return FALSE;
  if (!check(addr, 8, mode, 1, "DMI_fad")) return dmi_status_done(status, FALSE);
  struct dmi_gate_op op = {.kind = DMI_K_FAD, .mode = mode, .addr = addr, .size = 8, .value = add};
  struct dmi_after after = {.value = fetched, .value_size = 8};
  return dmi_run(&op, status, &after);
}
