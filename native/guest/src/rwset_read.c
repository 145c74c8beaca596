/* Read-write-sets: gathering, one contiguous piece from each domain that has a box for us. */
#include "rwset_local.h"

struct reading { struct rwset_local *local; char *buf; };

static void scatter(struct rwset_local *l, struct rwset_inbox *in, char *buf) {
  int64_t size = l->set.element_size, valid;
  memcpy(&valid, in->scratch, 8);
  if (valid != 1) return; /* its elements came from the area */
  in->valid = TRUE;
  const char *from = in->scratch + 8;
  for (int32_t i = 0; i < in->count; i++) memcpy(buf + l->order[in->first + i] * size, from + i * size, (size_t)size);
}

static void arrived(void *context, int32_t ok) {
  struct reading *r = context;
  struct rwset_local *l = r->local;
  for (int32_t i = 0; ok && i < l->inbox_num; i++) scatter(l, &l->inboxes[i], r->buf);
  l->reading = 0;
  free(r);
}

/* Adds a piece to be read, unless it can be had at once. */
static void want(struct dmi_gate_piece *pieces, int32_t *n, struct dmi_gate_piece p) {
  if (DMI_GATE->fast_read(p.addr, p.size, p.ptr, DMI_GET) != 1) pieces[(*n)++] = p;
}

/* A planned piece, for a buffer. */
static struct dmi_gate_piece at_buffer(struct dmi_gate_piece p, void *buf) {
  p.ptr = (char *)buf + (uintptr_t)p.ptr;
  return p;
}

int32_t DMI_local_rwset_read(DMI_local_rwset_t *local, void *buf, DMI_local_status_t *status) {
  if (!dmi_status_free(status)) return FALSE;
  struct rwset_local *l = rwset_local_of(local);
  if (l == NULL) return dmi_status_done(status, FALSE);
  if (l->read_num == 0) return dmi_status_done(status, TRUE);
  if (buf == NULL) return dmi_status_done(status, dmi_fail(EFAULT, "DMI_local_rwset_read needs a buffer"));
  /* A second read while one is in flight does without the boxes, whose scratch is taken. */
  int32_t boxes = l->reading ? 0 : l->inbox_num, n = 0;
  struct dmi_gate_piece *pieces = malloc((size_t)(l->piece_num + boxes) * sizeof *pieces);
  struct reading *r = malloc(sizeof *r);
  if (pieces == NULL || r == NULL) {
    free(pieces);
    free(r);
    return dmi_status_done(status, dmi_fail(ENOMEM, "no memory for %d pieces", l->piece_num));
  }
  int32_t upto = boxes ? l->direct_num : l->piece_num;
  for (int32_t i = 0; i < upto; i++)
    want(pieces, &n, at_buffer(l->pieces[i], buf));
  for (int32_t i = 0; i < boxes; i++) {
    struct rwset_inbox *in = &l->inboxes[i];
    for (int32_t j = in->fallback; !in->valid && j < in->fallback + in->fallback_num; j++)
      want(pieces, &n, at_buffer(l->pieces[j], buf));
    want(pieces, &n, (struct dmi_gate_piece){in->data, rwset_box_bytes(l, in->count), in->scratch});
  }
  *r = (struct reading){l, buf};
  struct dmi_after after = {.done = arrived, .context = r};
  if (!boxes) {
    free(r);
    after = (struct dmi_after){0};
  } else {
    l->reading = 1;
  }
  int32_t ok = TRUE;
  if (n > 0) {
    ok = dmi_pieces(DMI_K_READ, pieces, n, DMI_GET, status, &after);
  } else {
    if (after.done) after.done(after.context, TRUE);
    dmi_status_done(status, TRUE);
  }
  int saved = errno;
  free(pieces);
  errno = saved;
  return ok;
}
