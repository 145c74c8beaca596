/* Threads: creation here and elsewhere, names, joining, detaching, suspending and waking. */
#include "check.h"

enum { SQUARE = 1, DETACHED, SLEEPER, PLACED };
/* What a created thread is told: a page of global memory. */
struct order { int64_t what, number, reply; DMI_thread_t self; int32_t where, awake; };

static int64_t obey(int64_t addr) {
  struct order o;
  get(addr, sizeof o, &o);
  CHECK(DMI_self(&o.self));
  CHECK(DMI_rank(&o.where));
  put(addr + (int64_t)offsetof(struct order, self), 12, &o.self);
  if (o.what == SQUARE) {
    for (int i = 0; i < 5; i++) CHECK(DMI_yield());
    return o.number * o.number;
  }
  if (o.what == SLEEPER) {
    char letter[32] = "";
    o.awake = 1; /* about to sleep */
    put(addr + (int64_t)offsetof(struct order, awake), 4, &o.awake);
    CHECK(DMI_suspend(letter));
    CHECK(strcmp(letter, "good morning") == 0);
    o.awake = 2;
    put(addr + (int64_t)offsetof(struct order, awake), 4, &o.awake);
    return -o.number;
  }
  if (o.what == DETACHED) add_word(o.reply, 1);
  return o.number;
}

int64_t DMI_thread(int64_t addr) {
  /* The members of the test carry their struct shared, the threads they create a struct order: told apart by the sign. */
  if (addr < 0) return obey(-addr);
  enter(addr);
  DMI_thread_t me, still, t, twins[4];
  CHECK(DMI_self(&me));
  REFUSED(DMI_join(me, NULL, NULL), EDEADLK);
  int64_t page = map(sizeof(struct order), 6), value;
  while (again()) {
    struct order o = {.what = SQUARE, .number = rank + 3};
    put(page, sizeof o, &o);
    CHECK(DMI_create(&t, DMI_AUTOMATIC, -page, 0, NULL));
    CHECK(t.dmi_id != me.dmi_id || t.thread_id != me.thread_id);
    CHECK(DMI_join(t, &value, NULL) && value == (rank + 3) * (rank + 3));
    get(page, sizeof o, &o);
    CHECK(o.self.dmi_id == t.dmi_id && o.self.thread_id == t.thread_id);
    CHECK(DMI_self(&still) && still.dmi_id == me.dmi_id && still.thread_id == me.thread_id);

    /* Several at a time, with a stack of their own size, joined out of order and asynchronously. */
    for (int i = 0; i < 4; i++) {
      o = (struct order){.what = SQUARE, .number = 10 * i};
      put(page + i * (int64_t)sizeof o, sizeof o, &o);
      DMI_local_status_t status;
      int32_t ok;
      CHECK(DMI_create(&twins[i], DMI_AUTOMATIC, -(page + i * (int64_t)sizeof o), (i + 1) << 18, &status));
      DMI_wait(&status, &ok);
      CHECK(ok);
    }
    for (int i = 3; i >= 0; i--) {
      DMI_local_status_t status;
      int32_t ok;
      CHECK(DMI_join(twins[i], &value, &status));
      DMI_wait(&status, &ok);
      CHECK(ok && value == 100 * i * i);
    }

    /* In a certain process: it starts there. (While nodes come and go, that process may have left.) */
    DMI_node_t nodes[64];
    int32_t n;
    CHECK(DMI_nodes(nodes, &n, 64));
    for (int i = 0; i < n && shared.seconds == 0; i++) {
      o = (struct order){.what = PLACED, .number = i};
      put(page, sizeof o, &o);
      CHECK(DMI_create(&t, nodes[i].dmi_id, -page, 0, NULL));
      CHECK(DMI_join(t, &value, NULL) && value == i);
      get(page, sizeof o, &o);
      CHECK(o.where == nodes[i].dmi_id);
    }
    CHECK(!DMI_create(&t, 1000000, -page, 0, NULL)); /* no such process */

    /* Detached: nobody joins, it runs all the same. */
    o = (struct order){.what = DETACHED, .reply = shared.data[0]};
    put(page + 4 * (int64_t)sizeof o, sizeof o, &o);
    CHECK(DMI_create(&t, DMI_AUTOMATIC, -(page + 4 * (int64_t)sizeof o), 0, NULL));
    CHECK(DMI_detach(t, NULL));

    /* Asleep until woken: a wake that comes before the suspend does not count, so it is repeated. */
    o = (struct order){.what = SLEEPER, .number = rank};
    put(page + 5 * (int64_t)sizeof o, sizeof o, &o);
    CHECK(DMI_create(&t, DMI_AUTOMATIC, -(page + 5 * (int64_t)sizeof o), 0, NULL));
    int32_t awake = 0;
    int64_t flag = page + 5 * (int64_t)sizeof o + (int64_t)offsetof(struct order, awake);
    for (get(flag, 4, &awake); awake == 0; get(flag, 4, &awake)) CHECK(DMI_yield());
    while (awake != 2) {
      halt(0.005);
      CHECK(DMI_wake(t, "good morning", 13, NULL));
      get(flag, 4, &awake);
    }
    CHECK(DMI_join(t, &value, NULL) && value == -rank);
    while (get_word(shared.data[0]) < round_number) halt(0.002); /* at least as many as rounds: all is well at the end */
  }
  meet();
  while (get_word(shared.data[0]) < (round_number - 1) * shared.threads) halt(0.002);
  unmap(page);
  return DONE;
}

void DMI_main(int argc, char **argv) {
  prepare(argc, argv);
  shared.data[0] = map(8, 1);
  run_threads();
  CHECK(DMI_yield());
  unmap(shared.data[0]);
  finish("thread");
}
