/* Objects: global memory addressed by an id, of a size that can change. An object is a DMI_malloc block of one page, so
 * operations on all of it are atomic; its id is an index in a table that stands at the root page, which every job has
 * from its start. */
#include "guest.h"

struct object { int64_t addr, size; };

static int64_t block_size_at(int64_t addr) { return addr - 16; } /* the third field of alloc.c's struct block */

static int32_t find(int32_t id, struct object *o) {
  int64_t entry, addr = 0;
  if (dmi_table_entry(DMI_ROOT_ADDRESS, id, &entry) && !DMI_read(entry, 8, &addr, DMI_INVALIDATE, NULL)) return FALSE;
  if (addr == 0) return dmi_fail(ENOENT, "there is no object %d", id);
  o->addr = addr;
  return DMI_read(block_size_at(addr), 8, &o->size, DMI_INVALIDATE, NULL);
}

static int32_t find_range(int32_t id, int64_t offset, int64_t size, struct object *o) {
  if (!find(id, o)) return FALSE;
  if (offset >= 0 && size >= 0 && offset <= o->size && size <= o->size - offset) return TRUE;
  return dmi_fail(EFAULT, "[%lld, +%lld) is not within object %d, which has %lld bytes", (long long)offset, (long long)size,
                  id, (long long)o->size);
}

static int32_t delete_one(int32_t id) {
  struct object o;
  int64_t entry, addr, none = 0;
  if (!find(id, &o) || !dmi_table_entry(DMI_ROOT_ADDRESS, id, &entry) || !DMI_fas(entry, 8, &none, &addr, DMI_PUT, NULL))
    return FALSE;
  return addr != 0 ? DMI_free(addr) : dmi_fail(ENOENT, "there is no object %d", id);
}

int32_t DMI_new_object(int32_t *ids, const int64_t *sizes, int32_t n, DMI_local_status_t *status) {
  if (!dmi_status_free(status)) return FALSE;
  if (n < 0 || (n > 0 && (ids == NULL || sizes == NULL)))
    return dmi_status_done(status, dmi_fail(EINVAL, "DMI_new_object of %d objects needs ids and sizes", n));
  for (int32_t i = 0; i < n; i++) {
    int64_t addr, index, entry;
    int32_t ok = sizes[i] >= 0 ? TRUE : dmi_fail(EINVAL, "an object of %lld bytes", (long long)sizes[i]);
    ok = ok && DMI_malloc(&addr, sizes[i], MAX(sizes[i], 8)) && dmi_table_add(DMI_ROOT_ADDRESS, &index, &entry) &&
         dmi_put(entry, 8, &addr);
    if (!ok) {
      int saved = errno;
      while (i-- > 0) delete_one(ids[i]);
      errno = saved;
      return dmi_status_done(status, FALSE);
    }
    ids[i] = (int32_t)index;
  }
  return dmi_status_done(status, TRUE);
}

int32_t DMI_delete_object(const int32_t *ids, int32_t n, DMI_local_status_t *status) {
  if (!dmi_status_free(status)) return FALSE;
  int32_t ok = n >= 0 && (n == 0 || ids) ? TRUE : dmi_fail(EINVAL, "DMI_delete_object of %d objects needs ids", n);
  for (int32_t i = 0; i < n && ok; i++) ok = delete_one(ids[i]);
  return dmi_status_done(status, ok);
}

int32_t DMI_read_object(int32_t id, int64_t offset, int64_t size, void *in, int8_t mode, DMI_local_status_t *status) {
  struct object o;
  if (!dmi_status_free(status)) return FALSE;
  if (!find_range(id, offset, size, &o)) return dmi_status_done(status, FALSE);
  return DMI_read(o.addr + offset, size, in, mode, status);
}
int32_t DMI_write_object(int32_t id, int64_t offset, int64_t size, const void *out, int8_t mode,
                         DMI_local_status_t *status) {
  struct object o;
  if (!dmi_status_free(status)) return FALSE;
  if (!find_range(id, offset, size, &o)) return dmi_status_done(status, FALSE);
  return DMI_write(o.addr + offset, size, out, mode, status);
}

static int32_t access_pieces(uint32_t kind, int32_t id, const int64_t *offsets, const int64_t *sizes,
                             const int64_t *ptr_offsets, int32_t n, char *base, int mode, DMI_local_status_t *status) {
  struct object o;
  if (!dmi_status_free(status)) return FALSE;
  if (!(kind == DMI_K_READ ? dmi_is_read_mode(mode) : dmi_is_write_mode(mode)) || n < 0 ||
      (n > 0 && !(offsets && sizes && ptr_offsets && base)))
    return dmi_status_done(status, dmi_fail(EINVAL, "access to %d pieces of object %d in mode %d", n, id, mode));
  struct dmi_gate_piece *pieces = malloc((size_t)MAX(n, 1) * sizeof *pieces);
  int32_t count = 0;
  int32_t ok = pieces ? TRUE : dmi_fail(ENOMEM, "no memory for %d pieces", n);
  for (int32_t i = 0; i < n && ok; i++) {
    ok = find_range(id, offsets[i], sizes[i], &o);
    if (ok && sizes[i] > 0)
      pieces[count++] = (struct dmi_gate_piece){o.addr + offsets[i], sizes[i], base + ptr_offsets[i]};
  }
  ok = ok && count > 0 ? dmi_pieces(kind, pieces, count, mode, status, NULL) : dmi_status_done(status, ok);
  int saved = errno;
  free(pieces);
  errno = saved;
  return ok;
}
int32_t DMI_gread_object(int32_t id, const int64_t *offsets, const int64_t *sizes, const int64_t *ptr_offsets, int32_t n,
                         void *in, int8_t mode, DMI_local_status_t *status) {
  return access_pieces(DMI_K_READ, id, offsets, sizes, ptr_offsets, n, in, mode, status);
}
int32_t DMI_gwrite_object(int32_t id, const int64_t *offsets, const int64_t *sizes, const int64_t *ptr_offsets, int32_t n,
                          const void *out, int8_t mode, DMI_local_status_t *status) {
  return access_pieces(DMI_K_WRITE, id, offsets, sizes, ptr_offsets, n, (char *)(uintptr_t)out, mode, status);
}

int32_t DMI_watch_object(int32_t id, const void *in, void *out, DMI_local_status_t *status) {
  struct object o;
  if (!dmi_status_free(status)) return FALSE;
  return find(id, &o) ? DMI_watch(o.addr, o.size, in, out, status) : dmi_status_done(status, FALSE);
}
int32_t DMI_atomic_object(int32_t id, const void *out, int64_t out_size, void *in, int64_t in_size, int8_t tag,
                          int8_t mode, DMI_local_status_t *status) {
  struct object o;
  if (!dmi_status_free(status)) return FALSE;
  return find(id, &o) ? DMI_atomic(o.addr, o.size, out, out_size, in, in_size, tag, mode, status)
                      : dmi_status_done(status, FALSE);
}
int32_t DMI_cas_object(int32_t id, const void *cmp, const void *swap, int8_t *swapped, int8_t mode,
                       DMI_local_status_t *status) {
  struct object o;
  if (!dmi_status_free(status)) return FALSE;
  return find(id, &o) ? DMI_cas(o.addr, o.size, cmp, swap, swapped, mode, status) : dmi_status_done(status, FALSE);
}
int32_t DMI_fas_object(int32_t id, const void *out, void *in, int8_t mode, DMI_local_status_t *status) {
  struct object o;
  if (!dmi_status_free(status)) return FALSE;
  return find(id, &o) ? DMI_fas(o.addr, o.size, out, in, mode, status) : dmi_status_done(status, FALSE);
}

int32_t DMI_getsize_object(int32_t id, int64_t *size, int8_t mode, DMI_local_status_t *status) {
  struct object o;
  if (!dmi_status_free(status)) return FALSE;
  int32_t ok = size && dmi_is_read_mode(mode);
  ok = ok ? find(id, &o) : dmi_fail(EINVAL, "DMI_getsize_object in mode %d needs a place for the size", mode);
  if (ok) *size = o.size;
  return dmi_status_done(status, ok);
}

/* The object becomes another block: what is read or written of it meanwhile may be lost, as with realloc. */
int32_t DMI_setsize_object(int32_t id, int64_t size, int8_t mode, DMI_local_status_t *status) {
  struct object o;
  int64_t entry, addr;
  if (!dmi_status_free(status)) return FALSE;
  int32_t ok = size >= 0 && dmi_is_write_mode(mode);
  ok = ok ? find(id, &o) : dmi_fail(EINVAL, "DMI_setsize_object to %lld bytes in mode %d", (long long)size, mode);
  if (ok && size != o.size)
    ok = dmi_table_entry(DMI_ROOT_ADDRESS, id, &entry) && DMI_realloc(o.addr, &addr, size, MAX(size, 8)) && dmi_put(entry, 8, &addr);
  return dmi_status_done(status, ok);
}

int32_t DMI_save_object(int32_t id) {
  struct object o;
  return find(id, &o) && DMI_save(o.addr, o.size);
}
int32_t DMI_unsave_object(int32_t id) {
  struct object o;
  return find(id, &o) && DMI_unsave(o.addr, o.size);
}
