/* Membership by hand: every node is news once when it has come and once when it leaves; what a program may not do says why. */
#include "check.h"

enum { MOST = 64 };
static int32_t present[MOST], present_num; /* the nodes that poll and peek have told of */

static int32_t place_of(int32_t dmi_id) {
  for (int32_t i = 0; i < present_num; i++)
    if (present[i] == dmi_id) return i;
  return -1;
}

int64_t DMI_thread(int64_t where) {
  (void)where;
  return DONE;
}

static void hear(const DMI_node_t *news) {
  if (news->state == DMI_OPEN) {
    CHECK(place_of(news->dmi_id) < 0 && news->hostname[0] != 0);
    present[present_num++] = news->dmi_id;
    DMI_thread_t there;
    int64_t value;
    /* It may have left by now if nodes come and go. */
    if (DMI_welcome(news->dmi_id) && DMI_create(&there, news->dmi_id, 0, 0, NULL)) CHECK(DMI_join(there, &value, NULL) && value == DONE);
    else CHECK(shared.seconds > 0);
  } else {
    CHECK(news->state == DMI_CLOSE || news->state == DMI_CLOSED);
    CHECK(shared.seconds > 0 && place_of(news->dmi_id) >= 0);
    present[place_of(news->dmi_id)] = present[--present_num];
    CHECK(DMI_goodbye(news->dmi_id));
  }
}

void DMI_main(int argc, char **argv) {
  prepare(argc, argv);
  started = get_time();
  DMI_node_t nodes[MOST], news;
  int32_t n;
  int8_t found;
  CHECK(DMI_rank(&present[0]));
  present_num = 1;
  CHECK(DMI_nodes(nodes, &n, MOST));
  for (int32_t i = 1; i < n; i++) { /* those that were there first */
    CHECK(DMI_poll(&news));
    hear(&news);
  }
  do {
    for (found = TRUE; found;) {
      CHECK(DMI_peek(&news, &found));
      if (found) hear(&news);
    }
    CHECK(DMI_nodes(nodes, &n, MOST));
    for (int32_t i = 0; i < n; i++)
      CHECK(shared.seconds > 0 || (nodes[i].state == DMI_OPENED && place_of(nodes[i].dmi_id) >= 0));
    CHECK(shared.seconds > 0 || present_num == n);
    CHECK(DMI_yield());
    halt(0.01);
  } while (goes_on());
  REFUSED(DMI_welcome(1000000), ESRCH);
  REFUSED(DMI_goodbye(1000000), ESRCH);
  if (shared.seconds == 0) REFUSED(DMI_goodbye(nodes[0].dmi_id), EBUSY);
  REFUSED(DMI_fork("", nodes[0].dmi_id, &news), EOPNOTSUPP);
  REFUSED(DMI_kill(1000000), ESRCH);
  if (shared.seconds == 0) REFUSED(DMI_kill(nodes[0].dmi_id), EOPNOTSUPP);
  REFUSED(DMI_poll(NULL), EFAULT);
  REFUSED(DMI_peek(&news, NULL), EFAULT);
  finish("poll");
}
