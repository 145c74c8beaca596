/* Groups: many discrete pieces in one call. At init the pieces are sorted by address and neighbours in both address and
 * memory are joined, so the host gets few, ordered pieces; it sends one message per owner. */
#include "guest.h"

struct group {
  int64_t mark;
  struct dmi_gate_piece *pieces; /* ptr = base + offset, for the base of the last call */
  char *base;
  int32_t n; /* pieces left after joining */
  int32_t pad;
};
_Static_assert(sizeof(struct group) <= sizeof(DMI_local_group_t), "group");
#define MARK 0x646d6967726f7570

static int by_addr(const void *a, const void *b) {
  const struct dmi_gate_piece *x = a, *y = b;
  return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/* Where pieces overlap, their order decides what a write leaves, so it has to stay. */
static int32_t sort_unless_overlapping(struct dmi_gate_piece *pieces, int32_t n) {
  int32_t sorted = TRUE;
  for (int32_t i = 1; i < n && sorted; i++) sorted = pieces[i - 1].addr + pieces[i - 1].size <= pieces[i].addr;
  if (sorted) return TRUE;
  struct dmi_gate_piece *copy = malloc((size_t)n * sizeof *copy);
  if (copy == NULL) return dmi_fail(ENOMEM, "no memory for a group of %d pieces", n);
  memcpy(copy, pieces, (size_t)n * sizeof *copy);
  qsort(copy, (size_t)n, sizeof *copy, by_addr);
  int32_t overlap = FALSE;
  for (int32_t i = 1; i < n && !overlap; i++) overlap = copy[i - 1].addr + copy[i - 1].size > copy[i].addr;
  if (!overlap) memcpy(pieces, copy, (size_t)n * sizeof *copy);
  free(copy);
  return TRUE;
}

static int32_t join_neighbours(struct dmi_gate_piece *pieces, int32_t n) {
  int32_t last = -1;
  for (int32_t i = 0; i < n; i++) {
    struct dmi_gate_piece *p = last >= 0 ? &pieces[last] : NULL;
    if (p && p->addr + p->size == pieces[i].addr && (char *)p->ptr + p->size == (char *)pieces[i].ptr)
      p->size += pieces[i].size;
    else
      pieces[++last] = pieces[i];
  }
  return last + 1;
}

int32_t DMI_group_init(DMI_local_group_t *group, const int64_t *addrs, const int64_t *ptr_offsets, const int64_t *sizes,
                       int32_t n) {
  if (group == NULL || n < 0 || (n > 0 && (addrs == NULL || ptr_offsets == NULL || sizes == NULL)))
    return dmi_fail(EINVAL, "DMI_group_init of %d pieces needs their addresses, offsets and sizes", n);
  struct dmi_gate_piece *pieces = malloc((size_t)MAX(n, 1) * sizeof *pieces);
  if (pieces == NULL) return dmi_fail(ENOMEM, "no memory for a group of %d pieces", n);
  int32_t kept = 0;
  for (int32_t i = 0; i < n; i++) {
    if (!dmi_range(addrs[i], sizes[i])) {
      free(pieces);
      return FALSE;
    }
    if (sizes[i] > 0)
      pieces[kept++] = (struct dmi_gate_piece){addrs[i], sizes[i], (void *)(uintptr_t)ptr_offsets[i]};
  }
  if (!sort_unless_overlapping(pieces, kept)) {
    free(pieces);
    return FALSE;
  }
  struct group g = {MARK, pieces, NULL, join_neighbours(pieces, kept), 0};
  memcpy(group, &g, sizeof g);
  return TRUE;
}

static struct group *group_of(DMI_local_group_t *group) {
  struct group *g = (struct group *)group;
  if (g && g->mark == MARK) return g;
  dmi_fail(EINVAL, "the group is not initialised");
  return NULL;
}

int32_t DMI_group_destroy(DMI_local_group_t *group) {
  struct group *g = group_of(group);
  if (g == NULL) return FALSE;
  free(g->pieces);
  g->pieces = NULL;
  g->mark = 0;
  return TRUE;
}

static int32_t access_group(DMI_local_group_t *group, uint32_t kind, char *base, int32_t good_mode, int mode,
                            DMI_local_status_t *status) {
  if (!dmi_status_free(status)) return FALSE;
  struct group *g = group_of(group);
  if (g == NULL) return dmi_status_done(status, FALSE);
  if (!good_mode) return dmi_status_done(status, dmi_fail(EINVAL, "a group access does not know the mode %d", mode));
  if (g->n == 0) return dmi_status_done(status, TRUE);
  /* offsets may be relative to NULL: a program may have put whole pointers into them */
  if (base != g->base) {
    uintptr_t shift = (uintptr_t)base - (uintptr_t)g->base;
    for (int32_t i = 0; i < g->n; i++) g->pieces[i].ptr = (void *)((uintptr_t)g->pieces[i].ptr + shift);
    g->base = base;
  }
  return dmi_pieces(kind, g->pieces, g->n, mode, status, NULL);
}

int32_t DMI_group_read(DMI_local_group_t *group, void *base, int8_t mode, DMI_local_status_t *status) {
  return access_group(group, DMI_K_READ, base, dmi_is_read_mode(mode), mode, status);
}
int32_t DMI_group_write(DMI_local_group_t *group, const void *base, int8_t mode, DMI_local_status_t *status) {
  return access_group(group, DMI_K_WRITE, (char *)(uintptr_t)base, dmi_is_write_mode(mode), mode, status);
}
