/* Read-write-sets, the global side: init, decompose, destroy. The layout is in rwset.h. */
#include "rwset.h"

int32_t DMI_rwset_init(int64_t addr, int64_t element_num, int64_t element_size, int32_t domains) {
  if (element_num <= 0 || element_size <= 0 || domains <= 0 || element_num > INT64_MAX / MAX(element_size, 8))
    return dmi_fail(EINVAL, "a read-write-set of %lld elements of %lld bytes in %d domains", (long long)element_num,
                    (long long)element_size, domains);
  struct rwset set = {.mark = dmi_mark(DMI_IS_RWSET, addr), .element_num = element_num, .element_size = element_size};
  struct rwset_header header = {.domains = domains};
  return dmi_mark_fresh(DMI_IS_RWSET, addr) && DMI_mmap(&set.table, DMI_RWSET_PAGE, (int64_t)domains + 1, NULL) &&
         DMI_mmap(&set.lookup, DMI_RWSET_LOOKUP_PAGE * 8, (element_num - 1) / DMI_RWSET_LOOKUP_PAGE + 1, NULL) &&
         dmi_put(set.table, sizeof header, &header) && dmi_put(addr, sizeof set, &set);
}

int32_t rwset_open(int64_t addr, int32_t my_id, struct rwset *set, struct rwset_header *header) {
  if (!dmi_get(addr, sizeof *set, set) || !dmi_mark_check(DMI_IS_RWSET, addr, set->mark) ||
      !dmi_get(set->table, sizeof *header, header))
    return FALSE;
  if (my_id < 0 || my_id >= header->domains)
    return dmi_fail(EINVAL, "the read-write-set at %lld has domains 0..%lld, not %d", (long long)addr,
                    (long long)header->domains - 1, my_id);
  return TRUE;
}

static int by_element(const void *a, const void *b) {
  const struct rwset_place *x = a, *y = b;
  return x->element < y->element ? -1 : x->element > y->element;
}

struct rwset_place *rwset_sorted(const struct rwset *set, const int64_t *elements, int32_t n) {
  struct rwset_place *places = malloc((size_t)MAX(n, 1) * sizeof *places);
  if (places == NULL) {
    dmi_fail(ENOMEM, "no memory for a list of %d elements", n);
    return NULL;
  }
  int32_t sorted = TRUE;
  for (int32_t i = 0; i < n; i++) {
    if (elements[i] < 0 || elements[i] >= set->element_num) {
      dmi_fail(EINVAL, "element %lld is not one of the read-write-set's %lld elements", (long long)elements[i],
               (long long)set->element_num);
      free(places);
      return NULL;
    }
    places[i] = (struct rwset_place){elements[i], i};
    sorted = sorted && (i == 0 || elements[i - 1] <= elements[i]);
  }
  if (!sorted) qsort(places, (size_t)n, sizeof *places, by_element);
  return places;
}

int32_t rwset_lookup(const struct rwset *set, uint32_t kind, const struct rwset_place *places, int64_t *entries, int32_t n) {
  if (n == 0) return TRUE;
  struct dmi_gate_piece *pieces = malloc((size_t)n * sizeof *pieces);
  if (pieces == NULL) return dmi_fail(ENOMEM, "no memory to look up %d elements", n);
  int32_t count = 0;
  for (int32_t i = 0; i < n; i++) {
    int64_t entry = set->lookup + 8 * places[i].element;
    if (count > 0 && pieces[count - 1].addr + pieces[count - 1].size == entry) pieces[count - 1].size += 8;
    else pieces[count++] = (struct dmi_gate_piece){entry, 8, &entries[i]};
  }
  int32_t ok = dmi_pieces(kind, pieces, count, kind == DMI_K_READ ? DMI_GET : DMI_PUT, NULL, NULL);
  int saved = errno;
  free(pieces);
  errno = saved;
  return ok;
}

/* Enters the elements of domain my_id into the lookup. */
static int32_t claim(const struct rwset *set, int32_t my_id, const int64_t *elements, int32_t n) {
  struct rwset_place *places = rwset_sorted(set, elements, n);
  if (places == NULL) return FALSE;
  int64_t *entries = malloc((size_t)MAX(n, 1) * sizeof *entries);
  int32_t ok = entries ? rwset_lookup(set, DMI_K_READ, places, entries, n)
                       : dmi_fail(ENOMEM, "no memory to decompose %d elements", n);
  for (int32_t i = 0; i < n && ok; i++) {
    if (i > 0 && places[i - 1].element == places[i].element)
      ok = dmi_fail(EINVAL, "element %lld is twice in the list of domain %d", (long long)places[i].element, my_id);
    else if (entries[i] != 0)
      ok = dmi_fail(EEXIST, "element %lld is already written by domain %d", (long long)places[i].element,
                    rwset_entry_domain(entries[i]));
  }
  for (int32_t i = 0; i < n && ok; i++) entries[i] = rwset_entry(my_id, places[i].position);
  if (ok) ok = rwset_lookup(set, DMI_K_WRITE, places, entries, n);
  int saved = errno;
  free(entries);
  free(places);
  errno = saved;
  return ok;
}

int64_t rwset_area_page(int64_t element_size, int64_t slots) {
  return element_size * MIN(slots, MAX((1 << 20) / element_size, 1));
}

int32_t DMI_rwset_decompose(int64_t addr, int32_t my_id, const int64_t *write_elements, int32_t n) {
  struct rwset set;
  struct rwset_header header;
  struct rwset_record record;
  if (n < 0 || (n > 0 && write_elements == NULL)) return dmi_fail(EINVAL, "DMI_rwset_decompose of %d elements", n);
  if (!rwset_open(addr, my_id, &set, &header) || !dmi_get(rwset_record_at(&set, my_id), sizeof record, &record))
    return FALSE;
  if (record.area != 0) return dmi_fail(EEXIST, "domain %d is already decomposed", my_id);
  record = (struct rwset_record){.area = -1, .slots = n};
  if (n > 0) {
    int64_t page = rwset_area_page(set.element_size, n);
    if (!DMI_mmap(&record.area, page, (n * set.element_size - 1) / page + 1, NULL)) return FALSE;
  }
  /* The record is complete before an element leads to it. EXCLUSIVE: its page is to be in this process. */
  if (!DMI_write(rwset_record_at(&set, my_id), sizeof record, &record, DMI_EXCLUSIVE, NULL)) return FALSE;
  if (!claim(&set, my_id, write_elements, n)) {
    int saved = errno;
    struct rwset_record none = {0};
    if (record.area > 0) DMI_munmap(record.area, NULL);
    dmi_put(rwset_record_at(&set, my_id), sizeof none, &none);
    errno = saved;
    return FALSE;
  }
  return DMI_fad(set.table, 1, NULL, DMI_PUT, NULL);
}

int32_t DMI_rwset_destroy(int64_t addr) {
  struct rwset set, none = {0};
  struct rwset_header header;
  if (!rwset_open(addr, 0, &set, &header)) return FALSE;
  for (int32_t d = 0; d < header.domains; d++) {
    struct rwset_record record;
    if (!dmi_get(rwset_record_at(&set, d), sizeof record, &record)) return FALSE;
    if (record.area > 0 && !DMI_munmap(record.area, NULL)) return FALSE;
  }
  for (int64_t at = header.box_lists, next; at != 0; at = next) {
    struct box_list list;
    if (!dmi_get(at, sizeof list, &list) || !DMI_munmap(list.data, NULL) || !DMI_munmap(at, NULL)) return FALSE;
    next = list.next;
  }
  return dmi_put(addr, sizeof none, &none) && DMI_munmap(set.lookup, NULL) && DMI_munmap(set.table, NULL);
}
