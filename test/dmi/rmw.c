/* Read-modify-write: nothing is lost, whoever owns the page. */
#include "check.h"

enum { TIMES = 50 };
struct account { int64_t sum, count; char trace[16]; };

/* Tag 1: adds to the account, gives its new state. Tag 2: empties it. */
void DMI_function(void *page, int64_t size, void *out_ptr, int64_t out_size, void *in_ptr, int64_t in_size, int8_t tag) {
  struct account *a = page;
  if (size != sizeof *a) return;
  if (tag == 1 && out_size == 8 && in_size == sizeof *a) {
    int64_t add;
    memcpy(&add, out_ptr, 8);
    a->sum += add;
    a->count++;
    snprintf(a->trace, sizeof a->trace, "%lld", (long long)a->count);
    memcpy(in_ptr, a, sizeof *a);
  } else if (tag == 2) {
    memset(a, 0, sizeof *a);
  }
}

int64_t DMI_thread(int64_t addr) {
  enter(addr);
  int64_t counter = shared.data[0], cell = shared.data[1], slot = shared.data[2], account = shared.data[3];
  while (again()) {
    for (int64_t i = 0; i < TIMES; i++) {
      int8_t mode = (i + rank) % 3 == 0 ? DMI_EXCLUSIVE : DMI_PUT;
      int64_t before;
      CHECK(DMI_fad(counter, 1, &before, mode, NULL));
      CHECK(before >= 0 && before < TIMES * shared.threads);

      int64_t old = get_word(cell), next, tries = 0;
      int8_t swapped = FALSE;
      for (; !swapped; old = get_word(cell)) {
        next = old + 1;
        CHECK(DMI_cas(cell, 8, &old, &next, &swapped, mode, NULL));
        CHECK(++tries < 100000);
      }
      /* A token of 24 bytes goes round by fetch-and-store: the sum of what is in it and what threads hold is constant. */
      int64_t mine[3] = {0, 0, 0}, none[3] = {0, 0, 0}, got[3];
      CHECK(DMI_fas(slot, 24, none, got, mode, NULL));
      CHECK(got[0] == got[1] && got[1] == got[2] && (got[0] == 0 || got[0] == 99));
      if (got[0] == 99) {
        for (int k = 0; k < 3; k++) mine[k] = 99;
        CHECK(DMI_fas(slot, 24, mine, got, mode, NULL));
        CHECK(got[0] == 0);
      }
      struct account a;
      CHECK(DMI_atomic(account, sizeof a, &i, 8, &a, sizeof a, 1, mode, NULL));
      CHECK(a.count >= 1 && atoll(a.trace) == a.count);
      if (i % 7 == 0) CHECK(DMI_yield());
    }
    meet();
    struct account a;
    get(account, sizeof a, &a);
    CHECK(get_word(counter) == TIMES * shared.threads);
    CHECK(get_word(cell) == TIMES * shared.threads);
    CHECK(a.count == TIMES * shared.threads && a.sum == shared.threads * (TIMES * (TIMES - 1) / 2));
    CHECK(get_word(slot) == 99);
    meet();
    if (rank == 0) {
      put_word(counter, 0);
      put_word(cell, 0);
      CHECK(DMI_atomic(account, sizeof a, NULL, 0, NULL, 0, 2, DMI_PUT, NULL));
    }
    meet();
  }
  int64_t x = 0;
  REFUSED(DMI_cas(shared.data[4] + 12, 8, &x, &x, NULL, DMI_PUT, NULL), EINVAL); /* over a page border */
  REFUSED(DMI_fad(shared.data[4] + 12, 1, NULL, DMI_PUT, NULL), EINVAL);
  REFUSED(DMI_fas(shared.data[4], 8, &x, &x, DMI_GET, NULL), EINVAL);
  return DONE;
}

void DMI_main(int argc, char **argv) {
  prepare(argc, argv);
  shared.data[0] = map(8, 1);
  shared.data[1] = map(64, 1);
  shared.data[2] = map(24, 1);
  shared.data[3] = map(sizeof(struct account), 1);
  shared.data[4] = map(16, 2);
  int64_t token[3] = {99, 99, 99};
  put(shared.data[2], 24, token);
  run_threads();
  for (int i = 0; i < 5; i++) unmap(shared.data[i]);
  finish("rmw");
}
