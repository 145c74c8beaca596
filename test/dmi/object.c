/* Objects: memory by id, of a size that changes, found by every thread. */
#include "check.h"

void DMI_function(void *page, int64_t size, void *out_ptr, int64_t out_size, void *in_ptr, int64_t in_size, int8_t tag) {
  (void)out_ptr, (void)out_size;
  if (tag == 9 && in_size == 8) { /* the sum of the object's bytes; then it is zero */
    int64_t sum = 0;
    for (int64_t i = 0; i < size; i++) sum += ((uint8_t *)page)[i];
    memset(page, 0, (size_t)size);
    memcpy(in_ptr, &sum, 8);
  }
}

int64_t DMI_thread(int64_t addr) {
  enter(addr);
  while (again()) {
    int32_t ids[2], theirs;
    int64_t sizes[] = {8, 100}, size, sum, x = rank, y;
    int8_t swapped;
    CHECK(DMI_new_object(ids, sizes, 2, NULL));
    put(shared.data[0] + 4 * rank, 4, &ids[1]);
    meet();
    get(shared.data[0] + 4 * ((rank + 1) % shared.threads), 4, &theirs);
    uint8_t bytes[100], back[100];
    memset(bytes, rank + 1, 100);
    CHECK(DMI_write_object(theirs, 10, 50, bytes, DMI_PUT, NULL));
    meet();
    CHECK(DMI_read_object(ids[1], 0, 100, back, DMI_INVALIDATE, NULL));
    int before = (int)((rank + shared.threads - 1) % shared.threads) + 1;
    for (int i = 0; i < 100; i++) CHECK(back[i] == (i >= 10 && i < 60 ? before : 0));
    CHECK(DMI_setsize_object(ids[1], 70, DMI_PUT, NULL));
    CHECK(DMI_getsize_object(ids[1], &size, DMI_GET, NULL) && size == 70);
    CHECK(DMI_yield());
    int64_t offsets[] = {60, 9}, lengths[] = {1, 2}, places[] = {0, 1};
    CHECK(DMI_gread_object(ids[1], offsets, lengths, places, 2, back, DMI_GET, NULL));
    CHECK(back[0] == 0 && back[1] == 0 && back[2] == before);
    CHECK(DMI_gwrite_object(ids[1], offsets, lengths, places, 2, bytes, DMI_EXCLUSIVE, NULL));
    CHECK(DMI_atomic_object(ids[1], NULL, 0, &sum, 8, 9, DMI_PUT, NULL));
    CHECK(sum == 49 * before + 3 * (rank + 1));
    REFUSED(DMI_read_object(ids[1], 69, 2, back, DMI_GET, NULL), EFAULT);
    CHECK(DMI_fas_object(ids[0], &x, &y, DMI_PUT, NULL) && y == 0);
    y = x + 1;
    CHECK(DMI_cas_object(ids[0], &x, &y, &swapped, DMI_EXCLUSIVE, NULL) && swapped);
    CHECK(DMI_watch_object(ids[0], &x, &sum, NULL) && sum == x + 1);
    CHECK(DMI_save_object(ids[0]) && DMI_unsave_object(ids[0]));
    CHECK(DMI_delete_object(ids, 2, NULL));
    REFUSED(DMI_read_object(ids[1], 0, 1, back, DMI_GET, NULL), ENOENT);
    meet();
  }
  return DONE;
}

void DMI_main(int argc, char **argv) {
  prepare(argc, argv);
  shared.data[0] = map(4 * shared.threads, 1);
  int32_t id;
  int64_t size = -1;
  REFUSED(DMI_new_object(&id, &size, 1, NULL), EINVAL);
  id = 77;
  REFUSED(DMI_delete_object(&id, 1, NULL), ENOENT);
  run_threads();
  unmap(shared.data[0]);
  finish("object");
}
