/* Every call that is given an impossible argument says so and changes nothing: addresses that never were, are no more, or lie
 * past an end; sizes that are negative or overflow; objects that are not what they should be; statuses in use. errors.c has the rest. */
#include "check.h"

void DMI_function(void *page, int64_t size, void *out, int64_t out_size, void *in, int64_t in_size, int8_t tag) {
  (void)size, (void)out_size, (void)in_size, (void)tag;
  if (in && out) memcpy(in, page, 8), memcpy(page, out, 8);
}

static char buf[64], other[64];

/* None of these may do anything at this address. */
static void nothing_at(int64_t a, int64_t size) {
  int64_t x = 1, y = 2;
  int8_t swapped;
  CHECK(!DMI_read(a, size, buf, DMI_GET, NULL) && errno && DMI_error()[0]);
  CHECK(!DMI_read(a, size, buf, DMI_INVALIDATE, NULL) && errno && DMI_error()[0]);
  CHECK(!DMI_read(a, size, buf, DMI_UPDATE, NULL) && errno && DMI_error()[0]);
  CHECK(!DMI_write(a, size, buf, DMI_PUT, NULL) && errno && DMI_error()[0]);
  CHECK(!DMI_write(a, size, buf, DMI_EXCLUSIVE, NULL) && errno && DMI_error()[0]);
  CHECK(!DMI_cas(a, size, buf, other, &swapped, DMI_PUT, NULL) && errno && DMI_error()[0]);
  CHECK(!DMI_cas(a, size, buf, other, &swapped, DMI_EXCLUSIVE, NULL) && errno && DMI_error()[0]);
  CHECK(!DMI_fas(a, size, buf, other, DMI_PUT, NULL) && errno && DMI_error()[0]);
  CHECK(!DMI_atomic(a, size, &x, 8, &y, 8, 1, DMI_PUT, NULL) && errno && DMI_error()[0]);
  CHECK(!DMI_atomic(a, size, &x, 8, &y, 8, 1, DMI_EXCLUSIVE, NULL) && errno && DMI_error()[0]);
  CHECK(!DMI_watch(a, size, buf, other, NULL) && errno && DMI_error()[0]);
  CHECK(!DMI_save(a, size) && errno && DMI_error()[0]);
  DMI_local_status_t status;
  int32_t ok = TRUE;
  if (DMI_read(a, size, buf, DMI_GET, &status)) { /* it may say so at once, or when asked */
    DMI_wait(&status, &ok);
    CHECK(!ok);
  }
}

int64_t DMI_thread(int64_t addr) {
  enter(addr);
  while (again()) {
    int64_t x, y, a = map(16, 4), gone = map(16, 4);
    put_word(a, 123), put_word(a + 56, 456), put_word(gone, 1);
    CHECK(DMI_read(gone, 8, buf, DMI_UPDATE, NULL)); /* a copy of it was here */
    unmap(gone);

    /* addresses */
    int64_t nowhere[] = {-1, INT64_MIN, 8, a - 8, a + 64, a + (1ll << 30), gone, gone + 8, 1ll << 62, INT64_MAX, INT64_MAX - 7};
    for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++) {
      nothing_at(nowhere[i], 8);
      CHECK(!DMI_fad(nowhere[i], 1, &x, DMI_PUT, NULL) && errno && DMI_error()[0]);
      CHECK(!DMI_munmap(nowhere[i], NULL) && errno && DMI_error()[0]);
    }
    nothing_at(a + 60, 8);
    CHECK(!DMI_fad(a + 60, 1, &x, DMI_EXCLUSIVE, NULL));
    CHECK(!DMI_fad(a + 12, 1, &x, DMI_PUT, NULL)); /* over a page border */
    CHECK(!DMI_cas(a + 12, 8, buf, other, (int8_t *)&x, DMI_EXCLUSIVE, NULL));
    CHECK(!DMI_free(a + 1) && errno && DMI_error()[0]);
    CHECK(!DMI_realloc(gone, &x, 100, 16) && errno && DMI_error()[0]);

    /* sizes */
    int64_t sizes[] = {-1, INT64_MIN, INT64_MAX, INT64_MAX - a + 1, 1ll << 40, 65};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) nothing_at(a, sizes[i]);
    int64_t pages[][2] = {{0, 1}, {1, 0}, {-1, 1}, {1, -1}, {INT64_MIN, INT64_MIN}, {INT64_MAX, 2}, {1ll << 32, 1ll << 32}, {3, INT64_MAX / 3 + 1}};
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) CHECK(!DMI_mmap(&y, pages[i][0], pages[i][1], NULL) && errno && DMI_error()[0]);
    CHECK(!DMI_malloc(&y, -1, 16) && errno && DMI_error()[0]);
    CHECK(!DMI_malloc(&y, 16, -1) && errno && DMI_error()[0]);
    CHECK(!DMI_malloc(&y, INT64_MAX, 16) && errno && DMI_error()[0]);
    DMI_local_group_t group;
    int64_t at[] = {a, a + 8}, offsets[] = {0, 8}, bad[] = {8, -8};
    if (DMI_group_init(&group, at, offsets, bad, 2)) {
      CHECK(!DMI_group_read(&group, buf, DMI_GET, NULL) && errno && DMI_error()[0]);
      CHECK(!DMI_group_write(&group, buf, DMI_PUT, NULL) && errno && DMI_error()[0]);
      CHECK(DMI_group_destroy(&group));
    }
    CHECK(!DMI_group_init(&group, at, offsets, bad, -1) && errno && DMI_error()[0]);

    /* objects: a second init, what one does not hold, what is gone */
    int64_t m = map(sizeof(DMI_mutex_t), 1), c = map(sizeof(DMI_cond_t), 1), pool = map(sizeof(DMI_idpool_t), 1);
    int32_t id, locked;
    CHECK(DMI_mutex_init(m) && DMI_mutex_lock(m));
    DMI_mutex_init(m); /* whatever it says, the lock is still held by its holder alone */
    CHECK(DMI_mutex_trylock(m, &locked) ? !locked : errno && DMI_error()[0]);
    CHECK(DMI_mutex_unlock(m));
    REFUSED(DMI_mutex_unlock(m), EPERM);
    REFUSED(DMI_spin_unlock(c), EPERM);
    CHECK(DMI_idpool_init(pool, 4));
    CHECK(DMI_idpool_get(pool, &id));
    CHECK(!DMI_idpool_put(pool, 99) && errno && DMI_error()[0]);
    CHECK(!DMI_idpool_put(pool, -1) && errno && DMI_error()[0]);
    CHECK(DMI_idpool_put(pool, id));
    CHECK(!DMI_idpool_put(pool, id) && errno && DMI_error()[0]);
    CHECK(DMI_idpool_destroy(pool));
    unmap(pool), unmap(c), unmap(m);
    int64_t no_object[] = {m, -1, INT64_MAX};
    for (size_t i = 0; i < sizeof no_object / sizeof *no_object; i++) {
      CHECK(!DMI_idpool_get(no_object[i], &id) && errno && DMI_error()[0]);
      CHECK(!DMI_barrier_init(no_object[i]) && errno && DMI_error()[0]);
    }

    /* a status in use: each call needs one of its own while it is in flight */
    DMI_local_status_t status;
    int32_t ok = FALSE;
    int64_t now = 123, became = 0;
    CHECK(DMI_watch(a, 8, &now, &became, &status));
    REFUSED(DMI_read(a + 56, 8, &y, DMI_GET, &status), EBUSY);
    put_word(a, 124);
    DMI_wait(&status, &ok);
    CHECK(ok && became == 124);
    ok = FALSE;
    DMI_wait(&status, &ok); /* again: the same answer, at once */
    CHECK(ok);
    CHECK(get_word(a) == 124 && get_word(a + 56) == 456); /* nothing of all this wrote */
    unmap(a);
  }
  return DONE;
}

void DMI_main(int argc, char **argv) {
  prepare(argc, argv);
  run_threads();
  finish("bad_input");
}
