/* Read-write-sets, a domain's side: resolving once where each element lies, then writing and reading. See rwset.h. */
#include "rwset.h"

/* What I read of one domain through a box. */
struct inbox {
  int64_t data;
  int32_t first, count;           /* range of `order` */
  int32_t fallback, fallback_num; /* range of `pieces`: the same elements in the domain's area */
  int32_t valid;                  /* the writer fills it */
  char *scratch;                  /* | valid | values | as read */
};
/* What I write for one reader. */
struct outbox {
  int64_t data;
  int64_t count;
  int32_t *slots;
  char *packed; /* | 1 | values | */
};
struct local {
  struct rwset set;
  int32_t my_id, read_num;
  /* writing */
  int64_t area;
  int64_t slots;
  int64_t known_boxes; /* head of the list of boxes as of the last write */
  struct outbox *outboxes;
  int32_t outbox_num, writing; /* writing, reading: a call is in flight */
  /* reading */
  struct dmi_gate_piece *pieces; /* ptr is an offset in the caller's buffer */
  int32_t *order;                /* positions in read_elements, grouped by domain */
  struct inbox *inboxes;
  int32_t direct_num, inbox_num; /* pieces[0 .. direct_num) are read straight from areas */
  int32_t piece_num, reading;
};
struct handle { struct local *local; int64_t mark; };
_Static_assert(sizeof(struct handle) <= sizeof(DMI_local_rwset_t), "local rwset");
#define MARK 0x646d697277736574

static struct local *local_of(DMI_local_rwset_t *local) {
  struct handle *h = (struct handle *)local;
  if (h && h->mark == MARK) return h->local;
  dmi_fail(EINVAL, "the local read-write-set is not initialised");
  return NULL;
}

static void release(struct local *l) {
  for (int32_t i = 0; i < l->inbox_num; i++) free(l->inboxes[i].scratch);
  for (int32_t i = 0; i < l->outbox_num; i++) {
    free(l->outboxes[i].slots);
    free(l->outboxes[i].packed);
  }
  free(l->inboxes);
  free(l->outboxes);
  free(l->order);
  free(l->pieces);
  free(l);
}

/* ---- resolving ------------------------------------------------------------------------------------------------------ */
struct target { int32_t domain, slot, position; };

static int by_domain(const void *a, const void *b) {
  const struct target *x = a, *y = b;
  if (x->domain != y->domain) return x->domain < y->domain ? -1 : 1;
  return x->position < y->position ? -1 : x->position > y->position;
}

/* Looks every element up, waiting for domains that are not decomposed yet. */
static struct target *resolve(const struct rwset *set, int64_t domains, const int64_t *elements, int32_t n) {
  struct rwset_place *places = rwset_sorted(set, elements, n);
  if (places == NULL) return NULL;
  int64_t *entries = malloc((size_t)MAX(n, 1) * sizeof *entries);
  struct target *targets = malloc((size_t)MAX(n, 1) * sizeof *targets);
  int32_t ok = entries && targets ? TRUE : dmi_fail(ENOMEM, "no memory to look up %d elements", n);
  for (int32_t missing = n; ok && missing > 0;) {
    int64_t before, now;
    ok = dmi_get(set->table, 8, &before) && rwset_lookup(set, DMI_K_READ, places, entries, n);
    missing = 0;
    for (int32_t i = 0; ok && i < n && missing == 0; i++) {
      if (entries[i] != 0) continue;
      missing = 1;
      if (before < domains) ok = DMI_watch(set->table, 8, &before, &now, NULL);
      else ok = dmi_fail(EINVAL, "element %lld is written by no domain", (long long)places[i].element);
    }
  }
  for (int32_t i = 0; ok && i < n; i++)
    targets[i] = (struct target){rwset_entry_domain(entries[i]), rwset_entry_slot(entries[i]), places[i].position};
  int saved = errno;
  free(entries);
  free(places);
  if (ok) {
    qsort(targets, (size_t)n, sizeof *targets, by_domain);
    return targets;
  }
  free(targets);
  errno = saved;
  return NULL;
}

/* Appends the pieces of one domain's targets, neighbours joined; returns how many. */
static int32_t add_pieces(struct local *l, int64_t area, const struct target *t, int32_t n) {
  int64_t size = l->set.element_size;
  int32_t first = l->piece_num;
  for (int32_t i = 0; i < n; i++) {
    if (i > 0 && t[i].slot == t[i - 1].slot + 1 && t[i].position == t[i - 1].position + 1)
      l->pieces[l->piece_num - 1].size += size;
    else
      l->pieces[l->piece_num++] = (struct dmi_gate_piece){area + t[i].slot * size, size,
                                                          (void *)(uintptr_t)(t[i].position * size)};
  }
  return l->piece_num - first;
}

/* Naming a piece takes about as much as 24 bytes of payload: up to 5 % of that is not worth a box. */
static int32_t wants_box(int64_t pieces, int64_t bytes) { return pieces > 1 && 24 * pieces * 20 > bytes; }

/* ---- boxes: the reader's side ---------------------------------------------------------------------------------------- */
/* Puts `node` at the front of the list whose head is at `head`; its link is its first word. */
static int32_t push(int64_t head, int64_t node) {
  int64_t first;
  int8_t swapped = FALSE;
  while (!swapped)
    if (!dmi_get(head, 8, &first) || !dmi_put(node, 8, &first) || !DMI_cas(head, 8, &first, &node, &swapped, DMI_PUT, NULL))
      return FALSE;
  return TRUE;
}

static int64_t box_bytes(const struct local *l, int32_t count) { return 8 + count * l->set.element_size; }

/* Maps my boxes and tells their writers. */
static int32_t register_boxes(struct local *l, const struct target *targets) {
  if (l->inbox_num == 0) return TRUE;
  int64_t most = 0, lists = sizeof(struct box_list), pages = 0;
  for (int32_t i = 0; i < l->inbox_num; i++) {
    most = MAX(most, box_bytes(l, l->inboxes[i].count));
    lists += (int64_t)sizeof(struct box) + 8 * (((int64_t)l->inboxes[i].count + 1) / 2);
  }
  /* A box begins at a page, so that its pages can all belong to its writer. */
  int64_t page = (MIN(most, 1 << 16) + 63) / 64 * 64, list_addr = 0;
  for (int32_t i = 0; i < l->inbox_num; i++) pages += (box_bytes(l, l->inboxes[i].count) - 1) / page + 1;
  struct box_list head = {0};
  char *bytes = calloc((size_t)lists, 1);
  if (bytes == NULL) return dmi_fail(ENOMEM, "no memory for a list of %lld bytes", (long long)lists);
  int32_t ok = DMI_mmap(&head.data, page, pages, NULL) && DMI_mmap(&list_addr, lists, 1, NULL);
  memcpy(bytes, &head, sizeof head);
  int64_t at = sizeof head, data = head.data;
  for (int32_t i = 0; ok && i < l->inbox_num; i++) {
    struct inbox *in = &l->inboxes[i];
    struct box box = {.data = data, .count = in->count};
    memcpy(bytes + at, &box, sizeof box);
    at += (int64_t)sizeof box;
    for (int32_t j = 0; j < in->count; j++) memcpy(bytes + at + 4 * (int64_t)j, &targets[in->first + j].slot, 4);
    at += 8 * (((int64_t)in->count + 1) / 2);
    in->data = data;
    data += ((box_bytes(l, in->count) - 1) / page + 1) * page;
  }
  ok = ok && dmi_put(list_addr, lists, bytes) && push(rwset_lists_at(&l->set), list_addr);
  at = list_addr + (int64_t)sizeof head;
  for (int32_t i = 0; ok && i < l->inbox_num; i++) {
    ok = push(rwset_boxes_at(&l->set, targets[l->inboxes[i].first].domain), at);
    at += (int64_t)sizeof(struct box) + 8 * (((int64_t)l->inboxes[i].count + 1) / 2);
  }
  int saved = errno;
  free(bytes);
  errno = saved;
  return ok;
}

/* Decides for each domain I read of whether through a box or straight from its area. targets are grouped by domain. */
static int32_t plan_reads(struct local *l, struct target *targets, int32_t n) {
  int32_t domains = 0;
  for (int32_t i = 0; i < n; i++) domains += i == 0 || targets[i].domain != targets[i - 1].domain;
  l->order = malloc((size_t)MAX(n, 1) * sizeof *l->order);
  l->pieces = malloc((size_t)MAX(n, 1) * sizeof *l->pieces);
  l->inboxes = calloc((size_t)MAX(domains, 1), sizeof *l->inboxes);
  char *boxed = calloc((size_t)MAX(n, 1), 1);
  int64_t *areas = malloc((size_t)MAX(n, 1) * sizeof *areas);
  int32_t ok = l->order && l->pieces && l->inboxes && boxed && areas
                   ? TRUE
                   : dmi_fail(ENOMEM, "no memory for a read-write-set of %d elements", n);
  for (int pass = 0; ok && pass < 2; pass++) { /* those read straight first: their pieces come first */
    for (int32_t i = 0, end; ok && i < n; i = end) {
      for (end = i + 1; end < n && targets[end].domain == targets[i].domain; end++) {
      }
      int32_t domain = targets[i].domain, count = end - i, before = l->piece_num;
      if (pass == 0) {
        struct rwset_record record;
        ok = dmi_get(rwset_record_at(&l->set, domain), sizeof record, &record);
        if (!ok) break;
        areas[i] = record.area;
        int32_t pieces = add_pieces(l, record.area, targets + i, count);
        boxed[i] = (char)(domain != l->my_id && wants_box(pieces, count * l->set.element_size));
        if (boxed[i]) l->piece_num = before;
      } else if (boxed[i]) {
        struct inbox *in = &l->inboxes[l->inbox_num];
        *in = (struct inbox){.first = i, .count = count, .fallback = before};
        in->fallback_num = add_pieces(l, areas[i], targets + i, count);
        in->scratch = malloc((size_t)box_bytes(l, count));
        if (in->scratch == NULL) ok = dmi_fail(ENOMEM, "no memory for %d elements to read", count);
        else l->inbox_num++;
      }
    }
    if (pass == 0) l->direct_num = l->piece_num;
  }
  for (int32_t i = 0; ok && i < n; i++) l->order[i] = targets[i].position;
  free(areas);
  free(boxed);
  return ok;
}

int32_t DMI_local_rwset_init(DMI_local_rwset_t *local, int64_t addr, int32_t my_id, const int64_t *read_elements,
                             int32_t n) {
  struct rwset_header header;
  struct rwset_record record;
  if (local == NULL || n < 0 || (n > 0 && read_elements == NULL))
    return dmi_fail(EINVAL, "DMI_local_rwset_init of %d elements", n);
  struct local *l = calloc(1, sizeof *l);
  if (l == NULL) return dmi_fail(ENOMEM, "no memory for a local read-write-set");
  struct target *targets = NULL;
  l->my_id = my_id;
  l->read_num = n;
  int32_t ok = rwset_open(addr, my_id, &l->set, &header) &&
               (targets = resolve(&l->set, header.domains, read_elements, n)) != NULL && plan_reads(l, targets, n) &&
               register_boxes(l, targets) && dmi_get(rwset_record_at(&l->set, my_id), sizeof record, &record);
  int saved = errno;
  free(targets);
  if (!ok) {
    release(l);
    errno = saved;
    return FALSE;
  }
  l->area = record.area;
  l->slots = record.slots;
  struct handle h = {l, MARK};
  memcpy(local, &h, sizeof h);
  return TRUE;
}

int32_t DMI_local_rwset_destroy(DMI_local_rwset_t *local) {
  struct local *l = local_of(local);
  if (l == NULL) return FALSE;
  if (l->reading || l->writing) return dmi_fail(EBUSY, "a read or write of the read-write-set is in flight");
  release(l); /* my boxes stay until DMI_rwset_destroy: their writers know them */
  ((struct handle *)local)->mark = 0;
  return TRUE;
}

/* ---- writing -------------------------------------------------------------------------------------------------------- */
static void pack(const struct local *l, struct outbox *o, const char *buf) {
  int64_t size = l->set.element_size;
  char *to = o->packed + 8;
  for (int64_t i = 0; i < o->count; i++) memcpy(to + i * size, buf + o->slots[i] * size, (size_t)size);
}

/* Adds one outbox, its values already in place when its first regular write makes it valid. */
static int32_t adopt(struct local *l, int64_t addr, int64_t *next, const char *buf) {
  struct box box;
  if (!dmi_get(addr, sizeof box, &box)) return FALSE;
  struct outbox *more = realloc(l->outboxes, (size_t)(l->outbox_num + 1) * sizeof *more);
  if (more == NULL) return dmi_fail(ENOMEM, "no memory for %d readers", l->outbox_num + 1);
  l->outboxes = more;
  struct outbox *o = &more[l->outbox_num];
  int64_t bytes = box.count * l->set.element_size;
  *o = (struct outbox){box.data, box.count, malloc((size_t)box.count * 4), malloc((size_t)(8 + bytes))};
  l->outbox_num++;
  if (o->slots == NULL || o->packed == NULL) return dmi_fail(ENOMEM, "no memory for a reader of %lld elements", (long long)box.count);
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
static int32_t find_readers(struct local *l, const char *buf) {
  int64_t head;
  if (!DMI_read(rwset_boxes_at(&l->set, l->my_id), 8, &head, DMI_INVALIDATE, NULL)) return FALSE;
  int32_t known = l->outbox_num;
  for (int64_t at = head; at != l->known_boxes;) {
    if (!adopt(l, at, &at, buf)) {
      while (l->outbox_num > known) { /* to be tried again as a whole at the next write */
        struct outbox *o = &l->outboxes[--l->outbox_num];
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
  ((struct local *)context)->writing = 0;
}

int32_t DMI_local_rwset_write(DMI_local_rwset_t *local, const void *buf, DMI_local_status_t *status) {
  if (!dmi_status_free(status)) return FALSE;
  struct local *l = local_of(local);
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
    struct outbox *o = i < 0 ? NULL : &l->outboxes[i];
    if (o) pack(l, o, buf);
    struct dmi_gate_piece p = {o ? o->data : l->area, o ? 8 + o->count * l->set.element_size : l->slots * l->set.element_size,
                               o ? o->packed : (void *)(uintptr_t)buf};
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

/* ---- reading -------------------------------------------------------------------------------------------------------- */
struct reading { struct local *local; char *buf; };

static void scatter(struct local *l, struct inbox *in, char *buf) {
  int64_t size = l->set.element_size, valid;
  memcpy(&valid, in->scratch, 8);
  if (valid != 1) return; /* its elements came from the area */
  in->valid = TRUE;
  const char *from = in->scratch + 8;
  for (int32_t i = 0; i < in->count; i++) memcpy(buf + l->order[in->first + i] * size, from + i * size, (size_t)size);
}

static void arrived(void *context, int32_t ok) {
  struct reading *r = context;
  struct local *l = r->local;
  for (int32_t i = 0; ok && i < l->inbox_num; i++) scatter(l, &l->inboxes[i], r->buf);
  l->reading = 0;
  free(r);
}

/* Adds a piece to be read, unless it can be had at once. */
static void want(struct dmi_gate_piece *pieces, int32_t *n, struct dmi_gate_piece p) {
  if (DMI_GATE->fast_read(p.addr, p.size, p.ptr, DMI_GET) != 1) pieces[(*n)++] = p;
}

int32_t DMI_local_rwset_read(DMI_local_rwset_t *local, void *buf, DMI_local_status_t *status) {
  if (!dmi_status_free(status)) return FALSE;
  struct local *l = local_of(local);
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
    want(pieces, &n, (struct dmi_gate_piece){l->pieces[i].addr, l->pieces[i].size, (char *)buf + (uintptr_t)l->pieces[i].ptr});
  for (int32_t i = 0; i < boxes; i++) {
    struct inbox *in = &l->inboxes[i];
    for (int32_t j = in->fallback; !in->valid && j < in->fallback + in->fallback_num; j++)
      want(pieces, &n, (struct dmi_gate_piece){l->pieces[j].addr, l->pieces[j].size, (char *)buf + (uintptr_t)l->pieces[j].ptr});
    want(pieces, &n, (struct dmi_gate_piece){in->data, box_bytes(l, in->count), in->scratch});
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
