/* exchange FILE ROUNDS: two threads, on a node each, exchange scattered elements through a read-write-set: until who writes knows
 * who reads, then, when FILE is there, ROUNDS times. Ends when FILE.end is there. Prints what one exchange carries, bytes, and when it is ready and done. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dmi_api.h"

enum { ELEMENTS = 60000, READ = 20000, DOMAINS = 2, FIRST = 3 };
#define MUST(call) do { if (!(call)) { fprintf(stderr, "line %d: %s: %s\n", __LINE__, #call, DMI_error()); exit(1); } } while (0)

struct shared {
  DMI_rwset_t set;
  DMI_barrier_t barrier;
  char file[200];
  int64_t rounds;
};
#define AT(field) (addr + (int64_t)offsetof(struct shared, field))

static int64_t mine[ELEMENTS], theirs[ELEMENTS], out[ELEMENTS], in[READ];

static void say(const char *what) {
  printf("%s\n", what);
  fflush(stdout);
}
static void await(const char *file, const char *suffix) {
  char path[256];
  snprintf(path, sizeof path, "%s%s", file, suffix);
  while (access(path, F_OK) != 0) usleep(10000);
}

int64_t DMI_thread(int64_t addr) {
  struct shared s;
  DMI_local_barrier_t barrier;
  DMI_local_rwset_t local;
  int32_t rank, n = 0, others = 0;
  MUST(DMI_read(addr, sizeof s, &s, DMI_GET, NULL));
  MUST(DMI_local_barrier_init(&barrier, AT(barrier)));
  MUST(DMI_rank(&rank));
  rank = rank != 1;
  unsigned random = 12345; /* the same for both */
  for (int64_t e = 0; e < ELEMENTS; e++) {
    random = random * 1103515245u + 12345u;
    if ((int)(random >> 16 & 1) == rank) mine[n++] = e;
    else theirs[others++] = e;
  }
  for (int i = others - 1; i > 0; i--) { /* read in no order */
    random = random * 1103515245u + 12345u;
    int64_t j = (random >> 4) % (unsigned)(i + 1), e = theirs[i];
    theirs[i] = theirs[j], theirs[j] = e;
  }
  MUST(DMI_rwset_decompose(AT(set), rank, mine, n));
  MUST(DMI_local_rwset_init(&local, AT(set), rank, theirs, READ));
  for (int64_t round = 0; round < FIRST + s.rounds; round++) {
    for (int i = 0; i < n; i++) out[i] = mine[i] * 1000 + round;
    MUST(DMI_local_rwset_write(&local, out, NULL));
    MUST(DMI_local_barrier_sync(&barrier, DOMAINS));
    MUST(DMI_local_rwset_read(&local, in, NULL));
    for (int i = 0; i < READ; i++)
      if (in[i] != theirs[i] * 1000 + round) return 1;
    MUST(DMI_local_barrier_sync(&barrier, DOMAINS));
    if (round != FIRST - 1) continue;
    if (rank == 0) say("ready"), await(s.file, "");
    MUST(DMI_local_barrier_sync(&barrier, DOMAINS));
  }
  if (rank == 0) say("done"), await(s.file, ".end");
  MUST(DMI_local_barrier_sync(&barrier, DOMAINS));
  MUST(DMI_local_rwset_destroy(&local));
  MUST(DMI_local_barrier_destroy(&barrier));
  return 0;
}

void DMI_main(int argc, char **argv) {
  struct shared s = {.rounds = argc > 2 ? atoi(argv[2]) : 0};
  DMI_node_t nodes[8];
  DMI_thread_t threads[DOMAINS];
  int64_t addr, result, wrong = 0;
  int32_t n;
  snprintf(s.file, sizeof s.file, "%s", argc > 1 ? argv[1] : "");
  MUST(DMI_nodes(nodes, &n, 8));
  MUST(DMI_mmap(&addr, sizeof s, 1, NULL));
  MUST(DMI_write(addr, sizeof s, &s, DMI_PUT, NULL));
  MUST(DMI_rwset_init(AT(set), ELEMENTS, 8, DOMAINS));
  MUST(DMI_barrier_init(AT(barrier)));
  printf("payload %d\n", DOMAINS * READ * 8);
  for (int i = 0; i < DOMAINS; i++) MUST(DMI_create(&threads[i], nodes[i % n].dmi_id, addr, 0, NULL));
  for (int i = 0; i < DOMAINS; i++) {
    MUST(DMI_join(threads[i], &result, NULL));
    wrong += result;
  }
  MUST(DMI_rwset_destroy(AT(set)));
  exit(wrong ? 1 : 0);
}
