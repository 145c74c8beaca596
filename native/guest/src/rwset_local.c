/* Read-write-sets, a domain's side: init and destroy. Its layout in global memory is in rwset.h. */
#include "rwset_local.h"

struct rwset_local *rwset_local_of(DMI_local_rwset_t *local) {
  struct rwset_handle *h = (struct rwset_handle *)local;
  if (h && h->mark == RWSET_LOCAL_MARK) return h->local;
  dmi_fail(EINVAL, "the local read-write-set is not initialised");
  return NULL;
}

static void release(struct rwset_local *l) {
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

int32_t DMI_local_rwset_init(DMI_local_rwset_t *local, int64_t addr, int32_t my_id, const int64_t *read_elements,
                             int32_t n) {
  struct rwset_header header;
  struct rwset_record record;
  if (local == NULL || n < 0 || (n > 0 && read_elements == NULL))
    return dmi_fail(EINVAL, "DMI_local_rwset_init of %d elements", n);
  struct rwset_local *l = calloc(1, sizeof *l);
  if (l == NULL) return dmi_fail(ENOMEM, "no memory for a local read-write-set");
  struct rwset_target *targets = NULL;
  l->my_id = my_id;
  l->read_num = n;
  int32_t ok = rwset_open(addr, my_id, &l->set, &header) &&
               (targets = rwset_resolve(&l->set, header.domains, read_elements, n)) != NULL && rwset_plan_reads(l, targets, n) &&
               rwset_register_boxes(l, targets) && dmi_get(rwset_record_at(&l->set, my_id), sizeof record, &record);
  int saved = errno;
  free(targets);
  if (!ok) {
    release(l);
    errno = saved;
    return FALSE;
  }
  l->area = record.area;
  l->slots = record.slots;
  struct rwset_handle h = {l, RWSET_LOCAL_MARK};
  memcpy(local, &h, sizeof h);
  return TRUE;
}

int32_t DMI_local_rwset_destroy(DMI_local_rwset_t *local) {
  struct rwset_local *l = rwset_local_of(local);
  if (l == NULL) return FALSE;
  if (l->reading || l->writing) return dmi_fail(EBUSY, "a read or write of the read-write-set is in flight");
  release(l); /* my boxes stay until DMI_rwset_destroy: their writers know them */
  ((struct rwset_handle *)local)->mark = 0;
  return TRUE;
}
