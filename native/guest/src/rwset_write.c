/* Read-write-sets: publishing. The area and every box of the domain belong to its process, so this is local work. */
#include "rwset_local.h"

static void pack(const struct rwset_local *l, struct rwset_outbox *o, const char *buf) {
  int64_t size = l->set.element_size;
  char *to = o->packed + 8;
  for (int64_t i = 0; i < o->count; i++) memcpy(to + i * size, buf + o->slots[i] * size, (size_t)size);
}

/* Adds one outbox, its values already in place when its first regular write makes it valid. */
static int32_t adopt(struct rwset_local *l, int64_t addr, int64_t *next, const char *buf) {
  struct box box;
  if (!dmi_get(addr, sizeof box, &box)) return FALSE;
  struct rwset_outbox *more = realloc(l->outboxes, (size_t)(l->outbox_num + 1) * sizeof *more);
  if (more == NULL) return dmi_fail(ENOMEM, "no memory for %d readers", l->outbox_num + 1);
  l->outboxes = more;
  struct rwset_outbox *o = &more[l->outbox_num];
  int64_t bytes = box.count * l->set.element_size;
  *o = (struct rwset_outbox){box.data, box.count, malloc((size_t)box.count * 4), malloc((size_t)(8 + bytes))};
  l->outbox_num++;
  if (o->slots == NULL || o->packed == NULL)
    return dmi_fail(ENOMEM, "no memory for a reader of %lld elements", (long long)box.count);
  if (!dmi_get(addr + (int64_t)sizeof box, box.count * 4, o->slots)) return FALSE;
  for (int64_t i = 0; i < box.count; i++)
    if (o->slots[i] < 0 || o->slots[i] >= l->slots) return dmi_fail(EPROTO, "the list of a reader is damaged");
  int64_t valid = 1;
  memcpy(o->packed, &valid, 8);
  pack(l, o, buf);
  *next = box.next;
  return DMI_write(box.data + 8, bytes, o->packed + 8, DMI_EXCLUSIVE, NULL);
}

/* Finds the readers that have come since the last write. */
static int32_t find_readers(struct rwset_local *l, const char *buf) {
  int64_t head;
  if (!DMI_read(rwset_boxes_at(&l->set, l->my_id), 8, &head, DMI_INVALIDATE, NULL)) return FALSE;
  int32_t known = l->outbox_num;
  for (int64_t at = head; at != l->known_boxes;) {
    if (!adopt(l, at, &at, buf)) {
      while (l->outbox_num > known) { /* to be tried again as a whole at the next write */
        struct rwset_outbox *o = &l->outboxes[--l->outbox_num];
        free(o->slots);
        free(o->packed);
      }
      return FALSE;
    }
  }
  l->known_boxes = head;
  return TRUE;
}

static void written(void *context, int32_t ok) {
  (void)ok;
  ((struct rwset_local *)context)->writing = 0;
}

int32_t DMI_local_rwset_write(DMI_local_rwset_t *local, const void *buf, DMI_local_status_t *status) {
  if (!dmi_status_free(status)) return FALSE;
  struct rwset_local *l = rwset_local_of(local);
  if (l == NULL) return dmi_status_done(status, FALSE);
  if (l->area == 0)
    return dmi_status_done(status, dmi_fail(EINVAL, "domain %d was not decomposed when its local read-write-set was "
                                            "initialised", l->my_id));
  if (l->slots == 0) return dmi_status_done(status, TRUE);
  if (buf == NULL) return dmi_status_done(status, dmi_fail(EFAULT, "DMI_local_rwset_write needs a buffer"));
  if (l->writing)
    return dmi_status_done(status, dmi_fail(EBUSY, "the previous write of this read-write-set is still in flight"));
  if (!find_readers(l, buf)) return dmi_status_done(status, FALSE);
  struct dmi_gate_piece *pieces = malloc((size_t)(l->outbox_num + 1) * sizeof *pieces);
  if (pieces == NULL) return dmi_status_done(status, dmi_fail(ENOMEM, "no memory for %d pieces", l->outbox_num + 1));
  int32_t n = 0;
  for (int32_t i = -1; i < l->outbox_num; i++) { /* -1: the area */
    struct rwset_outbox *o = i < 0 ? NULL : &l->outboxes[i];
    if (o) pack(l, o, buf);
    int64_t size = l->set.element_size;
    struct dmi_gate_piece p = {l->area, l->slots * size, (void *)(uintptr_t)buf};
    if (o) p = (struct dmi_gate_piece){o->data, 8 + o->count * size, o->packed};
    if (DMI_GATE->fast_write(p.addr, p.size, p.ptr, DMI_EXCLUSIVE) != 1) pieces[n++] = p;
  }
  struct dmi_after after = {.done = written, .context = l};
  l->writing = 1;
  int32_t ok = TRUE;
  if (n > 0) {
    ok = dmi_pieces(DMI_K_WRITE, pieces, n, DMI_EXCLUSIVE, status, &after);
  } else {
    l->writing = 0;
    dmi_status_done(status, TRUE);
  }
  int saved = errno;
  free(pieces);
  errno = saved;
  return ok;
}
