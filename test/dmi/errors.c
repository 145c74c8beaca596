/* Mistakes give FALSE with errno and a sentence; never a crash, a hang or a damaged page. This program has no DMI_function. */
#include "check.h"

int64_t DMI_thread(int64_t addr) {
  enter(addr);
  int64_t x = 5, y;
  char buf[64];
  int32_t ok;
  while (again()) {
    int64_t a = map(16, 4);
    put_word(a, 123);
    REFUSED(DMI_mmap(&y, 0, 1, NULL), EINVAL);
    REFUSED(DMI_mmap(&y, 8, -1, NULL), EINVAL);
    REFUSED(DMI_mmap(&y, INT64_MAX, INT64_MAX, NULL), EINVAL);
    CHECK(!DMI_mmap(&y, 1ll << 40, 1 << 10, NULL)); /* a petabyte */
    REFUSED(DMI_read(a, -8, buf, DMI_GET, NULL), EINVAL);
    REFUSED(DMI_read(a, 8, NULL, DMI_GET, NULL), EFAULT);
    REFUSED(DMI_read(a, 8, buf, 99, NULL), EINVAL);
    REFUSED(DMI_read(a, 8, buf, DMI_PUT, NULL), EINVAL);
    REFUSED(DMI_write(a, 8, buf, DMI_INVALIDATE, NULL), EINVAL);
    REFUSED(DMI_read(a + 60, 8, buf, DMI_GET, NULL), EFAULT);
    REFUSED(DMI_write(a + 60, 8, buf, DMI_EXCLUSIVE, NULL), EFAULT);
    REFUSED(DMI_read(0, 8, buf, DMI_GET, NULL), EFAULT);
    REFUSED(DMI_read(INT64_MAX - 4, 8, buf, DMI_GET, NULL), EFAULT);
    REFUSED(DMI_read(a, INT64_MAX, buf, DMI_GET, NULL), EFAULT);
    CHECK(DMI_read(a, 0, NULL, DMI_GET, NULL) && DMI_write(a, 0, NULL, DMI_EXCLUSIVE, NULL));
    CHECK(!DMI_watch(a + 64, 8, &x, &y, NULL));
    CHECK(!DMI_atomic(a, 8, NULL, 0, NULL, 0, 1, DMI_PUT, NULL)); /* no DMI_function */
    CHECK(errno == ENOSYS && DMI_error()[0]);
    CHECK(!DMI_atomic(a + 12, 8, NULL, 0, NULL, 0, 1, DMI_PUT, NULL)); /* over a page border */
    REFUSED(DMI_save(a, -1), EINVAL);
    CHECK(!DMI_save(a + 60, 8));
    CHECK(!DMI_munmap(a + 16, NULL));
    CHECK(!DMI_munmap(DMI_NULL, NULL));

    int64_t m = map(sizeof(DMI_mutex_t), 2);
    CHECK(DMI_mutex_init(m));
    REFUSED(DMI_mutex_unlock(m), EPERM);
    CHECK(DMI_mutex_lock(m));
    CHECK(!DMI_mutex_destroy(m));
    CHECK(DMI_mutex_unlock(m) && DMI_mutex_destroy(m));
    CHECK(DMI_cond_signal(m + (int64_t)sizeof(DMI_mutex_t))); /* nobody waits: no matter */
    CHECK(!DMI_cond_wait(m + (int64_t)sizeof(DMI_mutex_t), m)); /* without holding the mutex */
    unmap(m);

    DMI_local_status_t never;
    memset(&never, 0, sizeof never);
    DMI_wait(&never, &ok);
    CHECK(!ok && errno == EINVAL);
    DMI_local_group_t group;
    memset(&group, 0, sizeof group);
    REFUSED(DMI_group_read(&group, buf, DMI_GET, NULL), EINVAL);
    int64_t beyond[] = {a, a + 1000}, offsets[] = {0, 8}, sizes[] = {8, 8};
    CHECK(DMI_group_init(&group, beyond, offsets, sizes, 2));
    REFUSED(DMI_group_read(&group, buf, DMI_GET, NULL), EFAULT);
    CHECK(DMI_group_destroy(&group));
    DMI_local_barrier_t none;
    memset(&none, 0, sizeof none);
    REFUSED(DMI_local_barrier_sync(&none, 1), EINVAL);
    REFUSED(DMI_local_barrier_sync(&barrier, 0), EINVAL);
    REFUSED(DMI_local_barrier_allreduce(&barrier, 1, &x, &y, DMI_OP_SUM, 9), EINVAL);
    DMI_thread_t t;
    REFUSED(DMI_create(NULL, 0, 0, 0, NULL), EFAULT);
    REFUSED(DMI_create(&t, -7, 0, 0, NULL), EINVAL);
    CHECK(DMI_welcome(123456) == FALSE);
    CHECK(DMI_goodbye(123456) == FALSE);
    CHECK(DMI_kill(123456) == FALSE);
    CHECK(get_word(a) == 123);
    unmap(a);
    CHECK(!DMI_munmap(a, NULL));
    CHECK(DMI_yield());
  }
  return DONE;
}

void DMI_main(int argc, char **argv) {
  prepare(argc, argv);
  run_threads();
  finish("errors");
}
