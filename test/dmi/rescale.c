/* Reconfiguration: sets are re-formed by decision and as nodes come and go; the work goes on where the last set left it. */
#include "check.h"

enum { STEPS = 60, BY_DECISION = 3 };
/* The work: `sum` counts one per thread and step; what is done stays in global memory. */
struct work { int64_t step, sets, sum, expected, barrier, reformed; double until; char over[sizeof shared.until]; };

/* Are there steps beyond STEPS? As long as rounds are to go on (check.h). */
static int goes_on_after_steps(const struct work *w) { return get_time() < w->until && !(w->over[0] && access(w->over, F_OK) == 0); }

static int judged; /* in rank 0 of each set */
static int64_t sets_so_far;

int32_t DMI_start_scale(DMI_node_t *nodes, int n) { return n >= 1 && nodes[0].core >= 1; }

int32_t DMI_judge_rescale(DMI_node_t *in, DMI_node_t *out_nodes, DMI_node_t *cur, int in_num, int out_num, int cur_num) {
  CHECK(cur_num >= 1 && cur[0].dmi_id >= 0);
  for (int i = 0; i < in_num; i++)
    for (int k = 0; k < cur_num; k++) CHECK(in[i].dmi_id != cur[k].dmi_id);
  for (int i = 0; i < out_num; i++) CHECK(out_nodes[i].state == DMI_CLOSE || out_nodes[i].state == DMI_CLOSED);
  return in_num + out_num > 0 || (++judged == 5 && sets_so_far <= BY_DECISION);
}

int32_t DMI_scaleunit(int my_rank, int pnum, int64_t addr) {
  struct work w;
  CHECK(my_rank >= 0 && my_rank < pnum);
  get(addr, sizeof w, &w);
  CHECK(DMI_local_barrier_init(&barrier, w.barrier));
  CHECK(DMI_local_barrier_sync(&barrier, pnum));
  if (my_rank == 0) {
    sets_so_far = w.sets + 1;
    put_word(addr + (int64_t)offsetof(struct work, sets), sets_so_far);
  }
  for (int64_t step = w.step;; step++) {
    add_word(addr + (int64_t)offsetof(struct work, sum), 1);
    CHECK(DMI_local_barrier_sync(&barrier, pnum));
    /* Time runs differently on different nodes: rank 0 decides whether this was the last step. */
    int32_t go = my_rank == 0 && (step + 1 < STEPS || goes_on_after_steps(&w)), all, judge;
    CHECK(DMI_local_barrier_allreduce(&barrier, pnum, &go, &all, DMI_OP_MAX, DMI_TYPE_INT));
    if (my_rank == 0) {
      put_word(addr + (int64_t)offsetof(struct work, step), step + 1);
      add_word(addr + (int64_t)offsetof(struct work, expected), pnum);
    }
    CHECK(DMI_check_rescale(&judge));
    CHECK(DMI_yield());
    if (!all) return FALSE;
    if (judge) {
      if (my_rank == 0) add_word(addr + (int64_t)offsetof(struct work, reformed), 1);
      return TRUE;
    }
  }
}

static void run(double seconds, int32_t nodes, int32_t threads) {
  int64_t addr = map(sizeof(struct work), 1);
  struct work w = {.barrier = shared.barrier, .until = get_time() + seconds};
  memcpy(w.over, shared.until, sizeof w.over);
  put(addr, sizeof w, &w);
  CHECK(DMI_rescale(addr, nodes, threads));
  get(addr, sizeof w, &w);
  CHECK(w.step >= STEPS);
  CHECK(w.sum == w.expected);
  CHECK(w.reformed >= BY_DECISION && w.sets == w.reformed + 1);
  unmap(addr);
}

void DMI_main(int argc, char **argv) {
  prepare(argc, argv);
  int32_t judge, n;
  DMI_node_t nodes[64];
  REFUSED(DMI_check_rescale(&judge), EPERM);
  CHECK(DMI_nodes(nodes, &n, 64));
  run(shared.seconds, 1, 2);
  run(0, 1, (int32_t)MIN(shared.threads, 8)); /* a second time */
  run(0, shared.seconds > 0 ? 1 : n, 0);      /* as many threads as cores */
  finish("rescale");
}
