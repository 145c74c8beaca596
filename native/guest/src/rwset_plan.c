/* Read-write-sets: where the elements a domain reads lie, found once, and how they will be fetched. See rwset.h. */
#include "rwset_local.h"

static int by_domain(const void *a, const void *b) {
  const struct rwset_target *x = a, *y = b;
  if (x->domain != y->domain) return x->domain < y->domain ? -1 : 1;
  return x->position < y->position ? -1 : x->position > y->position;
}

struct rwset_target *rwset_resolve(const struct rwset *set, int64_t domains, const int64_t *elements, int32_t n) {
  struct rwset_place *places = rwset_sorted(set, elements, n);
  if (places == NULL) return NULL;
  int64_t *entries = malloc((size_t)MAX(n, 1) * sizeof *entries);
  struct rwset_target *targets = malloc((size_t)MAX(n, 1) * sizeof *targets);
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
    targets[i] = (struct rwset_target){rwset_entry_domain(entries[i]), rwset_entry_slot(entries[i]), places[i].position};
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
static int32_t add_pieces(struct rwset_local *l, int64_t area, const struct rwset_target *t, int32_t n) {
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

int32_t rwset_plan_reads(struct rwset_local *l, struct rwset_target *targets, int32_t n) {
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
        struct rwset_inbox *in = &l->inboxes[l->inbox_num];
        *in = (struct rwset_inbox){.first = i, .count = count, .fallback = before};
        in->fallback_num = add_pieces(l, areas[i], targets + i, count);
        in->scratch = malloc((size_t)rwset_box_bytes(l, count));
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

/* ---- boxes: the reader's side ------------------------------------------------------------------------------- */
/* Puts `node` at the front of the list whose head is at `head`; its link is its first word. */
static int32_t push(int64_t head, int64_t node) {
  int64_t first;
  int8_t swapped = FALSE;
  while (!swapped)
    if (!dmi_get(head, 8, &first) || !dmi_put(node, 8, &first) || !DMI_cas(head, 8, &first, &node, &swapped, DMI_PUT, NULL))
      return FALSE;
  return TRUE;
}

int32_t rwset_register_boxes(struct rwset_local *l, const struct rwset_target *targets) {
  if (l->inbox_num == 0) return TRUE;
  int64_t most = 0, lists = sizeof(struct box_list), pages = 0;
  for (int32_t i = 0; i < l->inbox_num; i++) {
    most = MAX(most, rwset_box_bytes(l, l->inboxes[i].count));
    lists += (int64_t)sizeof(struct box) + 8 * (((int64_t)l->inboxes[i].count + 1) / 2);
  }
  /* A box begins at a page, so that its pages can all belong to its writer. */
  int64_t page = (MIN(most, 1 << 16) + 63) / 64 * 64, list_addr = 0;
  for (int32_t i = 0; i < l->inbox_num; i++) pages += (rwset_box_bytes(l, l->inboxes[i].count) - 1) / page + 1;
  struct box_list head = {0};
  char *bytes = calloc((size_t)lists, 1);
  if (bytes == NULL) return dmi_fail(ENOMEM, "no memory for a list of %lld bytes", (long long)lists);
  int32_t ok = DMI_mmap(&head.data, page, pages, NULL) && DMI_mmap(&list_addr, lists, 1, NULL);
  memcpy(bytes, &head, sizeof head);
  int64_t at = sizeof head, data = head.data;
  for (int32_t i = 0; ok && i < l->inbox_num; i++) {
    struct rwset_inbox *in = &l->inboxes[i];
    struct box box = {.data = data, .count = in->count};
    memcpy(bytes + at, &box, sizeof box);
    at += (int64_t)sizeof box;
    for (int32_t j = 0; j < in->count; j++) memcpy(bytes + at + 4 * (int64_t)j, &targets[in->first + j].slot, 4);
    at += 8 * (((int64_t)in->count + 1) / 2);
    in->data = data;
    data += ((rwset_box_bytes(l, in->count) - 1) / page + 1) * page;
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
