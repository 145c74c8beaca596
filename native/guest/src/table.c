/* A table of 8-byte entries in global memory that grows by whole chunks, so that entries never move. Adding needs no lock
 * but for the first entry of a chunk. */
#include "guest.h"

#define FIRST_CHUNK 256
#define PAGE_BYTES (FIRST_CHUNK * 8)

static int64_t chunk_entries(int k) { return (int64_t)FIRST_CHUNK << (4 * k); }
static int64_t chunk_field(int64_t table, int k) {
  return table + (int64_t)offsetof(struct dmi_table, chunks) + (int64_t)k * 8;
}

/* Splits an index into chunk and position there; -1 if there is no such chunk. */
static int locate(int64_t index, int64_t *position) {
  for (int k = 0; k < DMI_TABLE_CHUNKS; k++) {
    if (index < chunk_entries(k)) {
      *position = index;
      return k;
    }
    index -= chunk_entries(k);
  }
  return -1;
}

static int32_t map_chunk(int64_t table, int k, int64_t *chunk) {
  if (!dmi_object_op(DMI_K_MUTEX_LOCK, table, NULL)) return FALSE;
  int32_t ok = dmi_get(chunk_field(table, k), 8, chunk);
  if (ok && *chunk == 0)
    ok = DMI_mmap(chunk, PAGE_BYTES, chunk_entries(k) / FIRST_CHUNK, NULL) && dmi_put(chunk_field(table, k), 8, chunk);
  int saved = errno;
  int32_t unlocked = dmi_object_op(DMI_K_MUTEX_UNLOCK, table, NULL);
  if (!ok) errno = saved;
  return ok && unlocked;
}

int32_t dmi_table_add(int64_t table, int64_t *index, int64_t *entry) {
  int64_t chunk, position;
  if (!DMI_fad(table, 1, index, DMI_PUT, NULL)) return FALSE;
  int k = locate(*index, &position);
  if (k < 0) return dmi_fail(ENOSPC, "the table at %lld is full: %lld entries", (long long)table, (long long)*index);
  if (!dmi_get(chunk_field(table, k), 8, &chunk)) return FALSE;
  if (chunk == 0 && !map_chunk(table, k, &chunk)) return FALSE;
  *entry = chunk + position * 8;
  return TRUE;
}

int32_t dmi_table_entry(int64_t table, int64_t index, int64_t *entry) {
  int64_t position, chunk = 0;
  int k = index < 0 ? -1 : locate(index, &position);
  if (k >= 0 && !DMI_read(chunk_field(table, k), 8, &chunk, DMI_INVALIDATE, NULL)) return FALSE;
  if (chunk == 0) return dmi_fail(EINVAL, "there is no entry %lld", (long long)index);
  *entry = chunk + position * 8;
  return TRUE;
}

int32_t dmi_table_destroy(int64_t table) {
  struct dmi_table t, none = {0};
  if (!dmi_get(table, sizeof t, &t) || !dmi_object_op(DMI_K_OBJECT_DESTROY, table, NULL)) return FALSE;
  for (int k = 0; k < DMI_TABLE_CHUNKS; k++)
    if (t.chunks[k] && !DMI_munmap(t.chunks[k], NULL)) return FALSE;
  return dmi_put(table, sizeof none, &none);
}
