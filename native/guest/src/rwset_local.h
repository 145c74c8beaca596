/* rwset_local.h: a domain's side of a read-write-set, in its own memory. Private to rwset_local.c, rwset_plan.c,
 * rwset_write.c and rwset_read.c. */
#ifndef DMI_GUEST_RWSET_LOCAL_H
#define DMI_GUEST_RWSET_LOCAL_H
#include "rwset.h"

/* What I read of one domain through a box. */
struct rwset_inbox {
  int64_t data;
  int32_t first, count;           /* range of `order` */
  int32_t fallback, fallback_num; /* range of `pieces`: the same elements in the domain's area */
  int32_t valid;                  /* the writer fills it */
  char *scratch;                  /* | valid | values | as read */
};
/* What I write for one reader. */
struct rwset_outbox {
  int64_t data;
  int64_t count;
  int32_t *slots;
  char *packed; /* | 1 | values | */
};
struct rwset_local {
  struct rwset set;
  int32_t my_id, read_num;
  /* writing */
  int64_t area;
  int64_t slots;
  int64_t known_boxes; /* head of the list of boxes as of the last write */
  struct rwset_outbox *outboxes;
  int32_t outbox_num, writing; /* writing, reading: a call is in flight */
  /* reading */
  struct dmi_gate_piece *pieces; /* ptr is an offset in the caller's buffer */
  int32_t *order;                /* positions in read_elements, grouped by domain */
  struct rwset_inbox *inboxes;
  int32_t direct_num, inbox_num; /* pieces[0 .. direct_num) are read straight from areas */
  int32_t piece_num, reading;
};
struct rwset_handle { struct rwset_local *local; int64_t mark; };
_Static_assert(sizeof(struct rwset_handle) <= sizeof(DMI_local_rwset_t), "local rwset");
#define RWSET_LOCAL_MARK 0x646d697277736574

/* Where an element I read lies, and its place among read_elements. */
struct rwset_target { int32_t domain, slot, position; };

struct rwset_local *rwset_local_of(DMI_local_rwset_t *local);
/* Bytes of a box's values with the word that tells whether they are valid. */
static inline int64_t rwset_box_bytes(const struct rwset_local *l, int32_t count) {
  return 8 + count * l->set.element_size;
}
/* Looks every element up, waiting for domains that are not decomposed yet. Grouped by domain, malloc'ed; NULL: failed. */
struct rwset_target *rwset_resolve(const struct rwset *set, int64_t domains, const int64_t *elements, int32_t n);
/* Decides for each domain I read of whether through a box or straight from its area, and fills in the reading half of l. */
int32_t rwset_plan_reads(struct rwset_local *l, struct rwset_target *targets, int32_t n);
/* Maps my boxes and tells their writers. */
int32_t rwset_register_boxes(struct rwset_local *l, const struct rwset_target *targets);
#endif
