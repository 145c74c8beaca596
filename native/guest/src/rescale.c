/* Reconfiguration: DMI_rescale forms a set of threads over the present nodes, and re-forms it as nodes come and go.
 *
 *   forming --all created--> running --check_rescale: TRUE--> ending --all joined--> forming
 *                            running --rank 0 gives 0-------> ending --all joined--> over
 *
 * What the threads of a set share is one page in global memory, the set block; each gets its address as its start argument
 * and finds the program's scaleunit_addr in it. The barrier of DMI_check_rescale is named by the block's address.
 */
#include "guest.h"

#pragma weak DMI_scaleunit
#pragma weak DMI_start_scale
#pragma weak DMI_judge_rescale

struct set {
  int64_t mark;
  int64_t scaleunit_addr;
  int32_t pnum;
  int32_t node_num;
  int32_t nodes[]; /* dmi_ids, in rank order */
};

static double poll_seconds = 0.02; /* how often DMI_rescale looks for nodes while there are too few */

/* ---- in a thread of a set ----------------------------------------------------------------------------------- */
static int64_t my_set; /* 0: not in a set */
static int32_t my_rank, my_pnum, my_node_num;
static int32_t *my_nodes; /* rank 0 only: it decides for all */

int64_t dmi_run_scaleunit(int32_t rank, int32_t count, int64_t set_addr) {
  struct set set;
  if (!dmi_get(set_addr, sizeof set, &set) || !dmi_mark_check(DMI_IS_SET, set_addr, set.mark)) {
    fprintf(stderr, "DMI_rescale: thread %d cannot read its set: %s\n", rank, DMI_error());
    exit(1);
  }
  my_set = set_addr;
  my_rank = rank;
  my_pnum = count;
  if (rank == 0) {
    my_node_num = set.node_num;
    my_nodes = my_malloc(4 * (int64_t)set.node_num);
    if (!dmi_get(set_addr + (int64_t)offsetof(struct set, nodes), 4 * (int64_t)set.node_num, my_nodes)) exit(1);
  }
  return DMI_scaleunit(rank, count, set.scaleunit_addr);
}

static DMI_node_t *find_node(DMI_node_t *nodes, int32_t n, int32_t dmi_id) {
  for (int32_t i = 0; i < n; i++)
    if (nodes[i].dmi_id == dmi_id) return &nodes[i];
  return NULL;
}
static int32_t can_run(const DMI_node_t *node) { return node->state == DMI_OPEN || node->state == DMI_OPENED; }

/* Whether the running set is to be re-formed: 0, 1, or -1 for a failure. */
static int32_t judge(void) {
  DMI_node_t *nodes;
  int32_t n = dmi_all_nodes(&nodes), answer = -1, ins = 0, outs = 0;
  if (n < 0) return -1;
  size_t most = (size_t)n + (size_t)my_node_num + 1;
  DMI_node_t *in = malloc(most * sizeof *in), *out = malloc(most * sizeof *out), *cur = malloc(most * sizeof *cur);
  if (in && out && cur) {
    for (int32_t i = 0; i < my_node_num; i++) {
      DMI_node_t *node = find_node(nodes, n, my_nodes[i]), gone = {.state = DMI_CLOSED, .dmi_id = my_nodes[i]};
      cur[i] = node ? *node : gone;
      if (!can_run(&cur[i])) out[outs++] = cur[i];
    }
    for (int32_t i = 0; i < n; i++)
      if (can_run(&nodes[i]) && !find_node(cur, my_node_num, nodes[i].dmi_id)) in[ins++] = nodes[i];
    answer = DMI_judge_rescale ? DMI_judge_rescale(in, out, cur, ins, outs, my_node_num) == 1 : ins + outs > 0;
  } else {
    dmi_fail(ENOMEM, "no memory for lists of %d nodes", n);
  }
  free(in);
  free(out);
  free(cur);
  free(nodes);
  return answer;
}

int32_t DMI_check_rescale(int32_t *answer) {
  if (answer == NULL) return dmi_fail(EFAULT, "DMI_check_rescale needs a place for its answer");
  if (my_set == 0) return dmi_fail(EPERM, "DMI_check_rescale is for threads that DMI_rescale started");
  int32_t mine = my_rank == 0 ? judge() : 0; /* a failure is 0 for the others, or they would wait for ever */
  int32_t sub = mine > 0, all = 0;
  struct dmi_gate_op op = {.kind = DMI_K_ALLREDUCE, .addr = my_set, .count = my_pnum, .size = 4, .in = &sub, .in_size = 4,
                           .out = &all, .out_size = 4, .op = DMI_OP_MAX, .type = DMI_TYPE_INT};
  if (!dmi_run(&op, NULL, NULL)) return FALSE;
  *answer = all != 0;
  return mine >= 0;
}

/* ---- in the thread that forms the sets ---------------------------------------------------------------------- */
struct member { int32_t dmi_id, threads; };

/* The nodes to form a set of, survivors of `old` first and in their order. Waits until there are at least `least`. */
static int32_t choose(const struct member *old, int32_t old_num, int32_t least, int32_t thread_num,
                      struct member **chosen) {
  for (;; dmi_helper_sleep(poll_seconds)) {
    DMI_node_t *nodes;
    int32_t n = dmi_all_nodes(&nodes), kept = 0;
    if (n < 0) return -1;
    for (int32_t i = 0; i < n; i++)
      if (can_run(&nodes[i])) nodes[kept++] = nodes[i];
    if (kept > 0 && kept >= least && (old || !DMI_start_scale || DMI_start_scale(nodes, kept))) {
      struct member *m = malloc((size_t)kept * sizeof *m);
      int32_t at = 0;
      if (m == NULL) dmi_fail(ENOMEM, "no memory for a list of %d nodes", kept);
      for (int pass = 0; m && pass < 2; pass++) /* survivors, then newcomers */
        for (int32_t i = 0; i < (pass ? kept : old_num); i++) {
          DMI_node_t *node = pass ? &nodes[i] : find_node(nodes, kept, old[i].dmi_id);
          int32_t known = 0;
          for (int32_t j = 0; pass && j < old_num; j++) known |= old[j].dmi_id == nodes[i].dmi_id;
          if (node && !known) m[at++] = (struct member){node->dmi_id, thread_num > 0 ? thread_num : MAX(node->core, 1)};
        }
      free(nodes);
      *chosen = m;
      return m ? at : -1;
    }
    free(nodes);
  }
}

static int32_t create(struct dmi_gate_create *c) {
  if (DMI_GATE->call(DMI_G_CREATE, c) >= 0) return TRUE;
  c->dmi_id = DMI_AUTOMATIC; /* the node has just left: its rank runs elsewhere until the set is re-formed */
  return dmi_result(DMI_GATE->call(DMI_G_CREATE, c));
}

/* Runs one set to its end. The value of rank 0, or -1 with *failed. */
static int64_t run_set(int64_t scaleunit_addr, const struct member *members, int32_t n, int32_t *failed) {
  int32_t pnum = 0, created = 0;
  for (int32_t i = 0; i < n; i++) pnum += members[i].threads;
  int64_t size = (int64_t)sizeof(struct set) + 4 * (int64_t)n, block = 0, value = -1;
  struct set *set = malloc((size_t)size);
  DMI_thread_t *threads = malloc((size_t)pnum * sizeof *threads);
  *failed = TRUE;
  if (set == NULL || threads == NULL) {
    dmi_fail(ENOMEM, "no memory for a set of %d threads", pnum);
  } else if (DMI_mmap(&block, size, 1, NULL)) {
    *set = (struct set){dmi_mark(DMI_IS_SET, block), scaleunit_addr, pnum, n};
    for (int32_t i = 0; i < n; i++) set->nodes[i] = members[i].dmi_id;
    int32_t ok = dmi_put(block, size, set);
    for (int32_t i = 0; i < n && ok; i++)
      for (int32_t j = 0; j < members[i].threads && ok; j++) {
        struct dmi_gate_create c = {.dmi_id = members[i].dmi_id, .role = DMI_ROLE_SCALEUNIT, .rank = created, .count = pnum,
                                    .arg = block};
        ok = create(&c);
        if (ok) threads[created++] = (DMI_thread_t){c.created.dmi_id, c.created.thread_id};
      }
    /* If not all could be created those that run wait for the rest in vain: nothing to join. */
    for (int32_t i = 0; i < pnum && ok; i++) {
      int64_t result;
      ok = DMI_join(threads[i], &result, NULL);
      if (i == 0) value = result;
    }
    if (ok) {
      ok = dmi_object_op(DMI_K_OBJECT_DESTROY, block, NULL);
      *failed = !(DMI_munmap(block, NULL) && ok);
    }
  }
  free(threads);
  free(set);
  return value;
}

int32_t DMI_rescale(int64_t scaleunit_addr, int32_t init_node_num, int32_t thread_num) {
  if (!DMI_scaleunit) return dmi_fail(ENOENT, "the program defines no DMI_scaleunit to start");
  struct member *members = NULL;
  int32_t n = 0, failed = FALSE;
  int64_t value = 1;
  while (value != 0 && !failed) {
    struct member *chosen = NULL;
    n = choose(members, n, members ? 1 : init_node_num, thread_num, &chosen);
    free(members);
    members = chosen;
    if (n < 0) return FALSE;
    value = run_set(scaleunit_addr, members, n, &failed);
  }
  int saved = errno;
  free(members);
  errno = saved;
  return !failed;
}
