/* Who is in the job. */
#include "check.h"

int64_t DMI_thread(int64_t addr) {
  enter(addr);
  while (again()) {
    DMI_node_t nodes[64], one;
    int32_t n, k, here;
    CHECK(DMI_rank(&here));
    CHECK(DMI_nodes(nodes, &n, 64));
    CHECK(n >= 1 && n <= 64);
    int found = 0;
    for (int i = 0; i < n; i++) {
      CHECK(nodes[i].state >= DMI_OPEN && nodes[i].state <= DMI_CLOSED);
      CHECK(i == 0 || nodes[i - 1].dmi_id < nodes[i].dmi_id);
      CHECK(nodes[i].hostname[0] != 0 && memchr(nodes[i].hostname, 0, sizeof nodes[i].hostname));
      if (nodes[i].state == DMI_OPENED) CHECK(nodes[i].core >= 1 && nodes[i].memory > 0);
      found |= nodes[i].dmi_id == here;
    }
    CHECK(found || shared.seconds > 0); /* I may have been moved in between */
    CHECK(DMI_nodes(&one, &k, 1));
    CHECK(k == 1 && (shared.seconds > 0 || one.dmi_id == nodes[0].dmi_id));
    CHECK(DMI_nodes(NULL, &k, 0) && k == 0);
    REFUSED(DMI_nodes(nodes, NULL, 64), EINVAL);
    CHECK(DMI_yield());
  }
  return DONE;
}

void DMI_main(int argc, char **argv) {
  prepare(argc, argv);
  run_threads();
  finish("nodes");
}
