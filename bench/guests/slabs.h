/* What the two kernels beside MPI's share: ranks, a barrier with allreduce, and the faces of slabs in global memory. A rank
 * publishes its faces in pages that its host owns; two sets alternate, so that one synchronisation per exchange is enough:
 * nobody publishes into a set before all have read what it held. */
#ifndef BENCH_SLABS_H
#define BENCH_SLABS_H
#include "dmi_api.h"

#include "bench_guest.h"

struct slabs {
  int64_t ranks, face_bytes;
  int64_t next;    /* rank to be taken */
  int64_t barrier;
  int64_t faces;   /* [set][rank][bottom, top], a page each */
};

struct rank {
  struct slabs slabs;
  int64_t rank;
  DMI_local_barrier_t barrier;
};

static inline struct rank take_rank(int64_t addr) {
  struct rank r;
  BENCH_CHECK(DMI_read(addr, sizeof r.slabs, &r.slabs, DMI_GET, NULL));
  BENCH_CHECK(DMI_fad(addr + (int64_t)offsetof(struct slabs, next), 1, &r.rank, DMI_PUT, NULL));
  BENCH_CHECK(DMI_local_barrier_init(&r.barrier, r.slabs.barrier));
  return r;
}

static inline int64_t face(const struct slabs *s, int64_t set, int64_t rank, int64_t top) {
  return s->faces + ((set * s->ranks + rank) * 2 + top) * s->face_bytes;
}

static inline void publish(struct rank *r, int64_t set, const double *bottom, const double *top) {
  BENCH_CHECK(DMI_write(face(&r->slabs, set, r->rank, 0), r->slabs.face_bytes, (void *)bottom, DMI_EXCLUSIVE, NULL));
  BENCH_CHECK(DMI_write(face(&r->slabs, set, r->rank, 1), r->slabs.face_bytes, (void *)top, DMI_EXCLUSIVE, NULL));
}

/* The faces next to this rank's slab; both are under way together. */
static inline void fetch(struct rank *r, int64_t set, double *below, double *above) {
  DMI_local_status_t first, second;
  int32_t ok;
  const int has_below = r->rank > 0, has_above = r->rank < r->slabs.ranks - 1;
  if (has_below) BENCH_CHECK(DMI_read(face(&r->slabs, set, r->rank - 1, 1), r->slabs.face_bytes, below, DMI_GET, &first));
  if (has_above) BENCH_CHECK(DMI_read(face(&r->slabs, set, r->rank + 1, 0), r->slabs.face_bytes, above, DMI_GET, &second));
  if (has_below) {
    DMI_wait(&first, &ok);
    BENCH_CHECK(ok);
  }
  if (has_above) {
    DMI_wait(&second, &ok);
    BENCH_CHECK(ok);
  }
}

static inline double allreduce(struct rank *r, double mine, int32_t op) {
  double all;
  BENCH_CHECK(DMI_local_barrier_allreduce(&r->barrier, (int32_t)r->slabs.ranks, &mine, &all, op, DMI_TYPE_DOUBLE));
  return all;
}

static inline void run_slabs(int64_t values_per_face) {
  const char *text = getenv("DMI_THREADS");
  struct slabs s = {.ranks = text ? atoi(text) : 2, .face_bytes = values_per_face * 8};
  int64_t addr;
  BENCH_CHECK(DMI_mmap(&s.barrier, sizeof(DMI_barrier_t), 1, NULL));
  BENCH_CHECK(DMI_barrier_init(s.barrier));
  BENCH_CHECK(DMI_mmap(&s.faces, s.face_bytes, 4 * s.ranks, NULL));
  BENCH_CHECK(DMI_mmap(&addr, sizeof s, 1, NULL));
  BENCH_CHECK(DMI_write(addr, sizeof s, &s, DMI_EXCLUSIVE, NULL));
  DMI_thread_t *threads = malloc((size_t)s.ranks * sizeof *threads);
  for (int64_t i = 0; i < s.ranks; i++) BENCH_CHECK(DMI_create(&threads[i], DMI_AUTOMATIC, addr, 0, NULL));
  for (int64_t i = 0; i < s.ranks; i++) BENCH_CHECK(DMI_join(threads[i], NULL, NULL));
  free(threads);
}
#endif
