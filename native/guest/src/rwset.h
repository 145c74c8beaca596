/* rwset.h: the layout of a read-write-set in global memory. Private to rwset*.c.
 *
 *   DMI_rwset_t -> lookup: element -> (domain, slot)            one entry of 8 bytes per element
 *               -> table:  | header | record 0 | record 1 ...   one page each, a record owned by its domain's process
 *   record d    -> area:   the values of the elements d writes, in write_elements order: slot 0, 1, ...
 *               -> boxes:  a list, one for each reader that needs scattered slots of d
 *   box         -> slots (which ones, in the reader's order) and data: | valid | values ... |
 *
 * A write stores the area and, packed, every box. Both belong to the writer's process, so that is local memory. A read fetches
 * one contiguous piece from each domain it needs something of, so what goes over the wire is the payload and one message
 * head per pair of domains. A box is used once its `valid` is 1; until the writer has found it, its reader reads the area.
 */
#ifndef DMI_GUEST_RWSET_H
#define DMI_GUEST_RWSET_H
#include "guest.h"

struct rwset {
  int64_t mark;
  int64_t table;
  int64_t lookup;
  int64_t element_num;
  int64_t element_size; /* bytes */
};
_Static_assert(sizeof(struct rwset) <= sizeof(DMI_rwset_t), "rwset");

#define DMI_RWSET_PAGE 64          /* of the table, bytes */
#define DMI_RWSET_LOOKUP_PAGE 4096 /* of the lookup, entries */

struct rwset_header {
  int64_t decomposed; /* domains so far; watched by those who wait for elements */
  int64_t box_lists;  /* head of the list of mappings that hold boxes: struct box_list */
  int64_t domains;
};
struct rwset_record {
  int64_t area; /* 0 while not decomposed; -1 if the domain writes nothing */
  int64_t slots;
  int64_t boxes; /* head of the list of boxes */
};
/* A reader's boxes: this head, then struct box + slots for each, in one page. */
struct box_list {
  int64_t next;
  int64_t data; /* the mapping that holds their values */
};
struct box {
  int64_t next;
  int64_t data;  /* address of | int64_t valid | count values | */
  int64_t count; /* followed by int32_t slots[count] */
};

/* A lookup entry; 0 = nobody's. */
static inline int64_t rwset_entry(int32_t domain, int32_t slot) { return ((int64_t)(domain + 1) << 32) | (uint32_t)slot; }
static inline int32_t rwset_entry_domain(int64_t entry) { return (int32_t)(entry >> 32) - 1; }
static inline int32_t rwset_entry_slot(int64_t entry) { return (int32_t)entry; }

static inline int64_t rwset_record_at(const struct rwset *set, int32_t domain) {
  return set->table + DMI_RWSET_PAGE * ((int64_t)domain + 1);
}
static inline int64_t rwset_lists_at(const struct rwset *set) {
  return set->table + (int64_t)offsetof(struct rwset_header, box_lists);
}
static inline int64_t rwset_boxes_at(const struct rwset *set, int32_t domain) {
  return rwset_record_at(set, domain) + (int64_t)offsetof(struct rwset_record, boxes);
}

/* An element of a domain's list and its place in it. */
struct rwset_place { int64_t element; int32_t position; };
/* The list in ascending order of elements, malloc'ed; NULL with EINVAL if one is out of range. */
struct rwset_place *rwset_sorted(const struct rwset *set, const int64_t *elements, int32_t n);
/* Reads (DMI_K_READ) or writes (DMI_K_WRITE) the lookup entries of elements in ascending order. */
int32_t rwset_lookup(const struct rwset *set, uint32_t kind, const struct rwset_place *places, int64_t *entries, int32_t n);
/* The page size of an area: one page if it is small, else pages of whole elements of about 1 MiB. */
int64_t rwset_area_page(int64_t element_size, int64_t slots);
/* Reads the set at addr and checks that it is one, and that my_id is one of its domains. */
int32_t rwset_open(int64_t addr, int32_t my_id, struct rwset *set, struct rwset_header *header);
#endif
