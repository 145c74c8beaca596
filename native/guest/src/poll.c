/* Letting nodes in and out by hand, as programs for the original do in a loop of DMI_poll, DMI_welcome and DMI_goodbye. The
 * coordinator admits nodes and has them leave by itself, so nothing depends on the answers here: what this gives a program
 * is to hear of each node once when it has come and once when it is leaving. What has been told to it is in its image:
 * each thread that polls hears everything, from the moment of its first poll, where only its own node is not news.
 */
#include "guest.h"

struct known { int32_t dmi_id, leaving; };
static struct known *known;
static int32_t known_num, known_room;
static const double poll_seconds = 0.02; /* how often DMI_poll looks */

static struct known *find(int32_t dmi_id) {
  for (int32_t i = 0; i < known_num; i++)
    if (known[i].dmi_id == dmi_id) return &known[i];
  return NULL;
}

static int32_t remember(int32_t dmi_id) {
  if (known_num == known_room) {
    struct known *more = realloc(known, (size_t)(known_room + 16) * sizeof *more);
    if (more == NULL) return dmi_fail(ENOMEM, "no memory for a list of %d nodes", known_num + 1);
    known = more;
    known_room += 16;
  }
  known[known_num++] = (struct known){dmi_id, FALSE};
  return TRUE;
}

static int32_t is_leaving(const DMI_node_t *node) { return node->state == DMI_CLOSE || node->state == DMI_CLOSED; }

/* The first piece of news in `nodes`, if any: *found. */
static int32_t next_news(const DMI_node_t *nodes, int32_t n, DMI_node_t *news, int8_t *found) {
  *found = TRUE;
  for (int32_t i = 0; i < n; i++) {
    struct known *k = find(nodes[i].dmi_id);
    if (k ? k->leaving || !is_leaving(&nodes[i]) : is_leaving(&nodes[i])) continue; /* nothing new, or gone before it came */
    *news = nodes[i];
    if (!k) {
      news->state = DMI_OPEN;
      return remember(nodes[i].dmi_id);
    }
    k->leaving = TRUE;
    return TRUE;
  }
  for (int32_t i = 0; i < known_num; i++) { /* and those that have left between two looks */
    int32_t there = FALSE;
    for (int32_t j = 0; j < n; j++) there |= nodes[j].dmi_id == known[i].dmi_id;
    if (there || known[i].leaving) continue;
    memset(news, 0, sizeof *news);
    news->dmi_id = known[i].dmi_id;
    news->state = DMI_CLOSED;
    known[i].leaving = TRUE;
    return TRUE;
  }
  *found = FALSE;
  return TRUE;
}

int32_t DMI_peek(DMI_node_t *node, int8_t *found) {
  if (node == NULL || found == NULL) return dmi_fail(EFAULT, "DMI_peek needs places for its answers");
  if (known_num == 0) {
    int32_t here;
    if (!DMI_rank(&here) || !remember(here)) return FALSE;
  }
  DMI_node_t *nodes;
  int32_t n = dmi_all_nodes(&nodes);
  if (n < 0) return FALSE;
  int32_t ok = next_news(nodes, n, node, found);
  free(nodes);
  return ok;
}

int32_t DMI_poll(DMI_node_t *node) {
  if (node == NULL) return dmi_fail(EFAULT, "DMI_poll needs a place for its answer");
  for (int8_t found;; dmi_helper_sleep(poll_seconds)) {
    if (!DMI_peek(node, &found)) return FALSE;
    if (found) return TRUE;
  }
}

/* Whether dmi_id is a node of the job now: 1, and whether it leaves; 0; -1: a failure. */
static int32_t is_node(int32_t dmi_id, int32_t *leaving) {
  DMI_node_t *nodes;
  int32_t n = dmi_all_nodes(&nodes), there = FALSE;
  if (n < 0) return -1;
  for (int32_t i = 0; i < n; i++) {
    if (nodes[i].dmi_id != dmi_id) continue;
    there = TRUE;
    *leaving = is_leaving(&nodes[i]);
  }
  free(nodes);
  return there;
}

int32_t DMI_welcome(int32_t dmi_id) {
  int32_t leaving, there = is_node(dmi_id, &leaving);
  if (there < 0) return FALSE;
  return there || dmi_fail(ESRCH, "there is no node %d to welcome (DMI_nodes lists them)", dmi_id);
}

int32_t DMI_goodbye(int32_t dmi_id) {
  int32_t leaving = FALSE, there = is_node(dmi_id, &leaving);
  if (there < 0) return FALSE;
  if (there) return leaving || dmi_fail(EBUSY, "node %d has not asked to leave: `dmi drain` makes it", dmi_id);
  return find(dmi_id) != NULL || dmi_fail(ESRCH, "there has been no node %d to say goodbye to", dmi_id);
}

/* Processes belong to the coordinator and the agents: a program cannot start or end one. */
int32_t DMI_fork(const char *option, int32_t dmi_id, DMI_node_t *node) {
  (void)option, (void)node;
  return dmi_fail(EOPNOTSUPP, "a second process on node %d is not for a program to start: `dmi agent` makes a node", dmi_id);
}
int32_t DMI_kill(int32_t dmi_id) {
  int32_t leaving, there = is_node(dmi_id, &leaving);
  if (there < 0) return FALSE;
  if (!there) return dmi_fail(ESRCH, "there is no node %d in this job (DMI_nodes lists them)", dmi_id);
  return dmi_fail(EOPNOTSUPP, "node %d also serves other jobs and is not for a program to end: `dmi drain` makes it leave", dmi_id);
}
