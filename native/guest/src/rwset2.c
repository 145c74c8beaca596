/* Read-write-sets of the second kind: an element may be written by several domains, and what a domain reads lies
 * contiguously, in an area that belongs to its process. A write ships each element to the areas of all its readers.
 *
 *   DMI_rwset2_t -> table: | header | record 0 | record 1 ... |
 *   record d     -> area: the values d reads, in read_elements order; reads, writes: its lists of elements
 */
#include "rwset.h"

struct rwset2 {
  int64_t mark;
  int64_t table;
  int64_t element_num;
  int64_t element_size; /* bytes */
  int64_t domains;
};
_Static_assert(sizeof(struct rwset2) <= sizeof(DMI_rwset2_t), "rwset2");
struct record {
  int64_t reads, writes;       /* addresses of int64_t[], each one page; 0 where there are none */
  int64_t area;                /* 0 where nothing is read */
  int32_t read_num, write_num;
  int64_t decomposed;          /* 1 */
};
_Static_assert(sizeof(struct record) <= DMI_RWSET_PAGE, "record");

/* The table's first page: how many domains are decomposed. */
static int64_t record_at(const struct rwset2 *set, int32_t domain) {
  return set->table + DMI_RWSET_PAGE * ((int64_t)domain + 1);
}

int32_t DMI_rwset2_init(int64_t addr, int64_t element_num, int64_t element_size, int32_t domains) {
  if (element_num <= 0 || element_size <= 0 || domains <= 0 || element_num > INT64_MAX / MAX(element_size, 8))
    return dmi_fail(EINVAL, "a read-write-set of %lld elements of %lld bytes in %d domains", (long long)element_num,
                    (long long)element_size, domains);
  struct rwset2 set = {dmi_mark(DMI_IS_RWSET2, addr), 0, element_num, element_size, domains};
  return dmi_mark_fresh(DMI_IS_RWSET2, addr) && DMI_mmap(&set.table, DMI_RWSET_PAGE, (int64_t)domains + 1, NULL) &&
         dmi_put(addr, sizeof set, &set);
}

static int32_t open_set(int64_t addr, int32_t my_id, struct rwset2 *set) {
  if (!dmi_get(addr, sizeof *set, set) || !dmi_mark_check(DMI_IS_RWSET2, addr, set->mark)) return FALSE;
  if (my_id >= 0 && my_id < set->domains) return TRUE;
  return dmi_fail(EINVAL, "the read-write-set at %lld has domains 0..%lld, not %d", (long long)addr,
                  (long long)set->domains - 1, my_id);
}

static int32_t publish(const struct rwset2 *set, const int64_t *list, int32_t n, int64_t *addr) {
  *addr = 0;
  for (int32_t i = 0; i < n; i++)
    if (list[i] < 0 || list[i] >= set->element_num)
      return dmi_fail(EINVAL, "element %lld is not one of the read-write-set's %lld elements", (long long)list[i],
                      (long long)set->element_num);
  return n == 0 || (DMI_mmap(addr, 8 * (int64_t)n, 1, NULL) && DMI_write(*addr, 8 * (int64_t)n, list, DMI_EXCLUSIVE, NULL));
}

/* Makes this process the owner of every page of an area. */
static int32_t own(int64_t area, int64_t element_size, int64_t slots) {
  int64_t page = rwset_area_page(element_size, slots), bytes = element_size * slots;
  int32_t ok = TRUE;
  for (int64_t at = 0; ok && at < bytes; at += page) ok = DMI_write(area + at, 0, NULL, DMI_EXCLUSIVE, NULL);
  return ok;
}

int32_t DMI_rwset2_decompose(int64_t addr, int32_t my_id, const int64_t *write_elements, int32_t write_num,
                             const int64_t *read_elements, int32_t read_num) {
  struct rwset2 set;
  struct record r;
  if (write_num < 0 || read_num < 0 || (write_num > 0 && !write_elements) || (read_num > 0 && !read_elements))
    return dmi_fail(EINVAL, "DMI_rwset2_decompose of %d and %d elements", write_num, read_num);
  if (!open_set(addr, my_id, &set) || !dmi_get(record_at(&set, my_id), sizeof r, &r)) return FALSE;
  if (r.decomposed) return dmi_fail(EEXIST, "domain %d is already decomposed", my_id);
  r = (struct record){.read_num = read_num, .write_num = write_num, .decomposed = 1};
  if (!publish(&set, write_elements, write_num, &r.writes) || !publish(&set, read_elements, read_num, &r.reads))
    return FALSE;
  if (read_num > 0) {
    int64_t page = rwset_area_page(set.element_size, read_num);
    if (!DMI_mmap(&r.area, page, (set.element_size * read_num - 1) / page + 1, NULL) ||
        !own(r.area, set.element_size, read_num))
      return FALSE;
  }
  return DMI_write(record_at(&set, my_id), sizeof r, &r, DMI_EXCLUSIVE, NULL) && DMI_fad(set.table, 1, NULL, DMI_PUT, NULL);
}

int32_t DMI_rwset2_destroy(int64_t addr) {
  struct rwset2 set, none = {0};
  if (!open_set(addr, 0, &set)) return FALSE;
  for (int32_t d = 0; d < set.domains; d++) {
    struct record r;
    if (!dmi_get(record_at(&set, d), sizeof r, &r)) return FALSE;
    if ((r.reads && !DMI_munmap(r.reads, NULL)) || (r.writes && !DMI_munmap(r.writes, NULL)) ||
        (r.area && !DMI_munmap(r.area, NULL)))
      return FALSE;
  }
  return dmi_put(addr, sizeof none, &none) && DMI_munmap(set.table, NULL);
}

/* ---- a domain's side ---------------------------------------------------------------------------------------- */
struct local {
  struct dmi_gate_piece *pieces; /* of a write: ptr is an offset in the caller's buffer */
  int32_t piece_num, room;
  int64_t area, element_size;
  int64_t read_num;
};
struct handle { struct local *local; int64_t mark; };
_Static_assert(sizeof(struct handle) <= sizeof(DMI_local_rwset2_t), "local rwset2");
#define MARK 0x646d697277733274

static struct local *local_of(DMI_local_rwset2_t *local) {
  struct handle *h = (struct handle *)local;
  if (h && h->mark == MARK) return h->local;
  dmi_fail(EINVAL, "the local read-write-set is not initialised");
  return NULL;
}

static int32_t add_piece(struct local *l, int64_t addr, int64_t offset) {
  struct dmi_gate_piece *last = l->piece_num ? &l->pieces[l->piece_num - 1] : NULL;
  if (last && last->addr + last->size == addr && (int64_t)(uintptr_t)last->ptr + last->size == offset) {
    last->size += l->element_size;
    return TRUE;
  }
  if (l->piece_num == l->room) {
    int32_t room = 2 * l->room + 64;
    struct dmi_gate_piece *more = realloc(l->pieces, (size_t)room * sizeof *more);
    if (more == NULL) return dmi_fail(ENOMEM, "no memory for %d pieces", room);
    l->pieces = more;
    l->room = room;
  }
  l->pieces[l->piece_num++] = (struct dmi_gate_piece){addr, l->element_size, (void *)(uintptr_t)offset};
  return TRUE;
}

/* Adds the pieces for one reader: those of its elements that are among mine (sorted). */
static int32_t add_reader(struct local *l, const struct record *reader, const struct rwset_place *mine, int32_t n) {
  int64_t *reads = malloc((size_t)reader->read_num * 8);
  if (reads == NULL) return dmi_fail(ENOMEM, "no memory for a list of %d elements", reader->read_num);
  int32_t ok = DMI_read(reader->reads, 8 * (int64_t)reader->read_num, reads, DMI_INVALIDATE, NULL);
  for (int32_t i = 0; ok && i < reader->read_num; i++) {
    int32_t low = 0, high = n;
    while (low < high) {
      int32_t middle = low + (high - low) / 2;
      if (mine[middle].element < reads[i]) low = middle + 1;
      else high = middle;
    }
    if (low < n && mine[low].element == reads[i])
      ok = add_piece(l, reader->area + i * l->element_size, mine[low].position * l->element_size);
  }
  int saved = errno;
  free(reads);
  errno = saved;
  return ok;
}

/* All domains' reads are needed to know where my elements go: waits until all are decomposed. */
static int32_t await_all(const struct rwset2 *set) {
  int64_t decomposed;
  if (!dmi_get(set->table, 8, &decomposed)) return FALSE;
  while (decomposed < set->domains) {
    int64_t before = decomposed;
    if (!DMI_watch(set->table, 8, &before, &decomposed, NULL)) return FALSE;
  }
  return TRUE;
}

static int32_t fill(struct local *l, const struct rwset2 *set, int32_t my_id) {
  struct record me;
  if (!await_all(set) || !dmi_get(record_at(set, my_id), sizeof me, &me)) return FALSE;
  *l = (struct local){.area = me.area, .element_size = set->element_size, .read_num = me.read_num};
  struct rwset shape = {.element_num = set->element_num};
  int64_t *writes = malloc((size_t)MAX(me.write_num, 1) * 8);
  struct rwset_place *mine = NULL;
  int32_t ok = writes ? TRUE : dmi_fail(ENOMEM, "no memory for a list of %d elements", me.write_num);
  if (ok && me.write_num > 0) ok = dmi_get(me.writes, 8 * (int64_t)me.write_num, writes);
  ok = ok && (mine = rwset_sorted(&shape, writes, me.write_num)) != NULL;
  for (int32_t d = 0; ok && d < set->domains && me.write_num > 0; d++) {
    struct record reader;
    ok = dmi_get(record_at(set, d), sizeof reader, &reader) &&
         (reader.read_num == 0 || add_reader(l, &reader, mine, me.write_num));
  }
  int saved = errno;
  free(mine);
  free(writes);
  errno = saved;
  return ok;
}

int32_t DMI_local_rwset2_init(DMI_local_rwset2_t *local, int64_t addr, int32_t my_id) {
  struct rwset2 set;
  if (local == NULL) return dmi_fail(EFAULT, "DMI_local_rwset2_init needs a DMI_local_rwset2_t");
  if (!open_set(addr, my_id, &set)) return FALSE;
  struct local *l = calloc(1, sizeof *l);
  if (l == NULL) return dmi_fail(ENOMEM, "no memory for a local read-write-set");
  if (!fill(l, &set, my_id)) {
    int saved = errno;
    free(l->pieces);
    free(l);
    errno = saved;
    return FALSE;
  }
  struct handle h = {l, MARK};
  memcpy(local, &h, sizeof h);
  return TRUE;
}

int32_t DMI_local_rwset2_destroy(DMI_local_rwset2_t *local) {
  struct local *l = local_of(local);
  if (l == NULL) return FALSE;
  free(l->pieces);
  free(l);
  ((struct handle *)local)->mark = 0;
  return TRUE;
}

int32_t DMI_local_rwset2_write(DMI_local_rwset2_t *local, const void *buf, DMI_local_status_t *status) {
  if (!dmi_status_free(status)) return FALSE;
  struct local *l = local_of(local);
  if (l == NULL) return dmi_status_done(status, FALSE);
  if (l->piece_num == 0) return dmi_status_done(status, TRUE); /* nobody reads what I write */
  if (buf == NULL) return dmi_status_done(status, dmi_fail(EFAULT, "DMI_local_rwset2_write needs a buffer"));
  struct dmi_gate_piece *pieces = malloc((size_t)l->piece_num * sizeof *pieces);
  if (pieces == NULL) return dmi_status_done(status, dmi_fail(ENOMEM, "no memory for %d pieces", l->piece_num));
  int32_t n = 0;
  for (int32_t i = 0; i < l->piece_num; i++) {
    struct dmi_gate_piece p = {l->pieces[i].addr, l->pieces[i].size,
                               (char *)(uintptr_t)buf + (uintptr_t)l->pieces[i].ptr};
    if (DMI_GATE->fast_write(p.addr, p.size, p.ptr, DMI_PUT) != 1) pieces[n++] = p;
  }
  int32_t ok = n > 0 ? dmi_pieces(DMI_K_WRITE, pieces, n, DMI_PUT, status, NULL) : dmi_status_done(status, TRUE);
  int saved = errno;
  free(pieces);
  errno = saved;
  return ok;
}

int32_t DMI_local_rwset2_read(DMI_local_rwset2_t *local, void *buf, DMI_local_status_t *status) {
  if (!dmi_status_free(status)) return FALSE;
  struct local *l = local_of(local);
  if (l == NULL) return dmi_status_done(status, FALSE);
  if (l->read_num == 0) return dmi_status_done(status, TRUE);
  if (buf == NULL) return dmi_status_done(status, dmi_fail(EFAULT, "DMI_local_rwset2_read needs a buffer"));
  int64_t bytes = l->read_num * l->element_size;
  if (DMI_GATE->fast_read(l->area, bytes, buf, DMI_GET) == 1) return dmi_status_done(status, TRUE);
  /* I have moved since: the area follows me, so that the next reads are local again. */
  if (!own(l->area, l->element_size, l->read_num)) return dmi_status_done(status, FALSE);
  return DMI_read(l->area, bytes, buf, DMI_GET, status);
}
