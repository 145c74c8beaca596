/* Global memory: mappings, reads, writes, watches, pins. */
#include "guest.h"

int32_t dmi_range(int64_t addr, int64_t size) {
  if (size < 0) return dmi_fail(EINVAL, "the size %lld is negative", (long long)size);
  if (addr <= 0 || addr > INT64_MAX - size)
    return dmi_fail(EFAULT, "[%lld, +%lld) is not a range of global memory", (long long)addr, (long long)size);
  return TRUE;
}

int32_t DMI_mmap(int64_t *addr, int64_t page_size, int64_t page_num, DMI_local_status_t *status) {
  if (!dmi_status_free(status)) return FALSE;
  if (addr == NULL || page_size <= 0 || page_num <= 0 || page_num > INT64_MAX / page_size)
    return dmi_status_done(status, dmi_fail(EINVAL, "DMI_mmap of %lld pages of %lld bytes: both must be positive, the "
                                            "product below 2^63, and the result needs a place",
                                            (long long)page_num, (long long)page_size));
  struct dmi_gate_op op = {.kind = DMI_K_MMAP, .size = page_size, .value = page_num};
  struct dmi_after after = {.value = addr, .value_size = 8};
  return dmi_run(&op, status, &after);
}

int32_t DMI_munmap(int64_t addr, DMI_local_status_t *status) {
  if (!dmi_status_free(status)) return FALSE;
  struct dmi_gate_op op = {.kind = DMI_K_MUNMAP, .addr = addr};
  return dmi_run(&op, status, NULL);
}

static int32_t check_access(int64_t addr, int64_t size, const void *buf, int32_t good_mode, int mode, const char *call) {
  if (!good_mode) return dmi_fail(EINVAL, "%s does not know the mode %d", call, mode);
  if (!dmi_range(addr, size)) return FALSE;
  if (buf == NULL && size > 0) return dmi_fail(EFAULT, "%s of %lld bytes needs a buffer", call, (long long)size);
  return TRUE;
}

int32_t DMI_read(int64_t addr, int64_t size, void *in, int8_t mode, DMI_local_status_t *status) {
  if (status == NULL && size > 0 && in && DMI_GATE->fast_read(addr, size, in, mode) == 1) return TRUE;
  if (!dmi_status_free(status)) return FALSE;
  if (!check_access(addr, size, in, dmi_is_read_mode(mode), mode, "DMI_read")) return dmi_status_done(status, FALSE);
  if (size == 0) return dmi_status_done(status, TRUE);
  if (status && DMI_GATE->fast_read(addr, size, in, mode) == 1) return dmi_status_done(status, TRUE);
  struct dmi_gate_piece piece = {addr, size, in};
  return dmi_pieces(DMI_K_READ, &piece, 1, mode, status, NULL);
}

int32_t DMI_write(int64_t addr, int64_t size, const void *out, int8_t mode, DMI_local_status_t *status) {
  if (status == NULL && size > 0 && out && DMI_GATE->fast_write(addr, size, out, mode) == 1) return TRUE;
  if (!dmi_status_free(status)) return FALSE;
  if (!check_access(addr, size, out, dmi_is_write_mode(mode), mode, "DMI_write")) return dmi_status_done(status, FALSE);
  if (size == 0 && mode != DMI_EXCLUSIVE) return dmi_status_done(status, TRUE);
  if (status && size > 0 && DMI_GATE->fast_write(addr, size, out, mode) == 1) return dmi_status_done(status, TRUE);
  struct dmi_gate_piece piece = {addr, size, (void *)(uintptr_t)out};
  return dmi_pieces(DMI_K_WRITE, &piece, 1, mode, status, NULL);
}

int32_t DMI_watch(int64_t addr, int64_t size, const void *in, void *out, DMI_local_status_t *status) {
  if (!dmi_status_free(status)) return FALSE;
  if (!dmi_range(addr, size)) return dmi_status_done(status, FALSE);
  if (size == 0 || in == NULL || out == NULL)
    return dmi_status_done(status, dmi_fail(EINVAL, "DMI_watch needs a positive size and two buffers"));
  struct dmi_gate_op op = {.kind = DMI_K_WATCH, .addr = addr, .size = size, .in = in, .in_size = size, .out = out,
                           .out_size = size};
  return dmi_run(&op, status, NULL);
}

static int32_t pin(uint32_t kind, int64_t addr, int64_t size) {
  if (!dmi_range(addr, size)) return FALSE;
  if (size == 0) return TRUE;
  struct dmi_gate_op op = {.kind = kind, .addr = addr, .size = size};
  return dmi_run(&op, NULL, NULL);
}
int32_t DMI_save(int64_t addr, int64_t size) { return pin(DMI_K_SAVE, addr, size); }
int32_t DMI_unsave(int64_t addr, int64_t size) { return pin(DMI_K_UNSAVE, addr, size); }

/* ---- for the other files ------------------------------------------------------------------------------------ */
int32_t dmi_get(int64_t addr, int64_t size, void *to) { return DMI_read(addr, size, to, DMI_GET, NULL); }
int32_t dmi_put(int64_t addr, int64_t size, const void *from) { return DMI_write(addr, size, from, DMI_PUT, NULL); }

int32_t dmi_pieces(uint32_t kind, const struct dmi_gate_piece *pieces, int32_t n, int32_t mode,
                   DMI_local_status_t *status, const struct dmi_after *after) {
  struct dmi_gate_op op = {.kind = kind, .mode = mode, .count = n, .pieces = pieces};
  if (n == 1) { /* also in the plain fields, for hosts that look there */
    op.addr = pieces->addr;
    op.size = pieces->size;
  }
  return dmi_run(&op, status, after);
}

int32_t dmi_object_op(uint32_t kind, int64_t addr, int64_t *value) {
  if (!dmi_range(addr, 0)) return FALSE;
  struct dmi_gate_op op = {.kind = kind, .addr = addr};
  if (!dmi_run(&op, NULL, NULL)) return FALSE;
  if (value) *value = op.value;
  return TRUE;
}
