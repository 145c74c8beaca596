/* jacobi: heat in a cube with one hot face, by Jacobi iteration over many threads that exchange the faces of their slabs.
 *
 *   dmi run --local 4 -n 16 -- examples/jacobi/jacobi [N [ITERATIONS]]        default 64, 200
 *
 * The cube has N x N x N inner points, cut into slabs along z, one per thread (DMI_THREADS, dmi run -n). A slab lives in its
 * thread's own memory and moves with it; its two faces are published in global memory after each iteration, in pages that belong
 * to the process the thread is on, and the neighbours fetch them. Two sets of faces alternate, so one barrier per iteration is
 * enough. At the end the cube is gathered, its checksum printed and, up to 96 points a side, compared bit by bit with a
 * sequential run: however threads move, the answer is the same.
 */
#include <stddef.h>

#include "dmi_api.h"

/* What all threads share, at the address each thread is started with. */
struct job {
  int64_t n;          /* inner points per side */
  int64_t iterations;
  int64_t threads;
  int64_t next_rank;  /* threads number themselves by fetch-and-add */
  int64_t barrier;
  int64_t faces;      /* [parity][rank][bottom, top], one page each */
  int64_t cube;       /* the result: n planes */
};

static int64_t plane(int64_t n) { return (n + 2) * (n + 2); } /* values, with the boundary around */
static int64_t first_plane(const struct job *j, int64_t rank) { return rank * j->n / j->threads; }
static int64_t face(const struct job *j, int64_t parity, int64_t rank, int64_t top) {
  return j->faces + ((parity * j->threads + rank) * 2 + top) * plane(j->n) * 8;
}

/* One sweep over `planes` inner planes; a and b have one more on each side. The largest change. */
static double sweep(const double *a, double *b, int64_t planes, int64_t n) {
  const int64_t row = n + 2, step = plane(n);
  double change = 0;
  for (int64_t z = 1; z <= planes; z++)
    for (int64_t y = 1; y <= n; y++)
      for (int64_t x = 1; x <= n; x++) {
        int64_t i = z * step + y * row + x;
        b[i] = (a[i - 1] + a[i + 1] + a[i - row] + a[i + row] + a[i - step] + a[i + step]) * (1.0 / 6.0);
        double d = fabs(b[i] - a[i]);
        if (d > change) change = d;
      }
  return change;
}

/* A slab of zeros with its boundary; the hot face is below the cube's first plane: 1, warmer towards one corner. */
static double *new_slab(int64_t planes, int64_t n, int at_the_bottom) {
  double *a = my_calloc((planes + 2) * plane(n) * 8);
  for (int64_t y = 1; at_the_bottom && y <= n; y++)
    for (int64_t x = 1; x <= n; x++) a[y * (n + 2) + x] = 1.0 + (double)(x * y) / (double)(n * n);
  return a;
}

static void exchange(const struct job *j, int64_t rank, int64_t parity, double *a, int64_t planes, DMI_local_barrier_t *b) {
  const int64_t step = plane(j->n), bytes = step * 8;
  catch(DMI_write(face(j, parity, rank, 0), bytes, a + step, DMI_EXCLUSIVE, NULL));
  catch(DMI_write(face(j, parity, rank, 1), bytes, a + planes * step, DMI_EXCLUSIVE, NULL));
  catch(DMI_local_barrier_sync(b, (int32_t)j->threads));
  DMI_local_status_t below, above;
  int32_t ok;
  if (rank > 0) catch(DMI_read(face(j, parity, rank - 1, 1), bytes, a, DMI_GET, &below));
  if (rank < j->threads - 1)
    catch(DMI_read(face(j, parity, rank + 1, 0), bytes, a + (planes + 1) * step, DMI_GET, &above));
  if (rank > 0) {
    DMI_wait(&below, &ok);
    catch(ok);
  }
  if (rank < j->threads - 1) {
    DMI_wait(&above, &ok);
    catch(ok);
  }
}

int64_t DMI_thread(int64_t job_addr) {
  struct job j;
  int64_t rank;
  DMI_local_barrier_t barrier;
  catch(DMI_read(job_addr, sizeof j, &j, DMI_GET, NULL));
  catch(DMI_fad(job_addr + (int64_t)offsetof(struct job, next_rank), 1, &rank, DMI_PUT, NULL));
  catch(DMI_local_barrier_init(&barrier, j.barrier));
  int64_t first = first_plane(&j, rank), planes = first_plane(&j, rank + 1) - first;
  double *a = new_slab(planes, j.n, rank == 0), *b = new_slab(planes, j.n, rank == 0), change = 0;
  int32_t here, before, moves = 0;
  catch(DMI_rank(&before));
  for (int64_t i = 0; i < j.iterations; i++) {
    change = sweep(a, b, planes, j.n);
    double *t = a;
    a = b;
    b = t;
    exchange(&j, rank, i % 2, a, planes, &barrier);
    if (i % 50 == 49) {
      double most;
      catch(DMI_local_barrier_allreduce(&barrier, (int32_t)j.threads, &change, &most, DMI_OP_MAX, DMI_TYPE_DOUBLE));
      if (rank == 0) outn("iteration %lld: largest change %.3e", (long long)i + 1, most);
    }
    catch(DMI_yield());
    catch(DMI_rank(&here));
    moves += here != before;
    before = here;
  }
  catch(DMI_write(j.cube + first * plane(j.n) * 8, planes * plane(j.n) * 8, a + plane(j.n), DMI_PUT, NULL));
  my_free(a);
  my_free(b);
  return moves;
}

/* The same computation by one thread, compared bit by bit. */
static int same_as_sequential(const struct job *j, const double *cube) {
  double *a = new_slab(j->n, j->n, 1), *b = new_slab(j->n, j->n, 1);
  for (int64_t i = 0; i < j->iterations; i++) {
    sweep(a, b, j->n, j->n);
    double *t = a;
    a = b;
    b = t;
  }
  int same = memcmp(a + plane(j->n), cube, (size_t)(j->n * plane(j->n) * 8)) == 0;
  my_free(a);
  my_free(b);
  return same;
}

void DMI_main(int argc, char **argv) {
  const char *setting = getenv("DMI_THREADS");
  struct job j = {.n = argc > 1 ? atoll(argv[1]) : 64, .iterations = argc > 2 ? atoll(argv[2]) : 200,
                  .threads = setting ? atoll(setting) : 4};
  if (j.n < 1 || j.n > 4096 || j.iterations < 0) {
    errn("usage: jacobi [N [ITERATIONS]]");
    exit(2);
  }
  if (j.threads < 1) j.threads = 1;
  if (j.threads > j.n) j.threads = j.n; /* at least a plane each */
  int64_t addr, bytes = plane(j.n) * 8;
  catch(DMI_mmap(&j.barrier, sizeof(DMI_barrier_t), 1, NULL));
  catch(DMI_barrier_init(j.barrier));
  catch(DMI_mmap(&j.faces, bytes, 4 * j.threads, NULL));
  catch(DMI_mmap(&j.cube, bytes, j.n, NULL));
  catch(DMI_mmap(&addr, sizeof j, 1, NULL));
  catch(DMI_write(addr, sizeof j, &j, DMI_EXCLUSIVE, NULL));

  time_lap(0);
  DMI_thread_t *threads = my_malloc(j.threads * (int64_t)sizeof *threads);
  for (int64_t i = 0; i < j.threads; i++) catch(DMI_create(&threads[i], DMI_AUTOMATIC, addr, 0, NULL));
  int64_t moves = 0, moved;
  for (int64_t i = 0; i < j.threads; i++) {
    catch(DMI_join(threads[i], &moved, NULL));
    moves += moved;
  }
  double seconds = time_diff(0);

  double *cube = my_malloc(j.n * bytes), sum = 0;
  catch(DMI_read(j.cube, j.n * bytes, cube, DMI_GET, NULL));
  for (int64_t i = 0; i < j.n * plane(j.n); i++) sum += cube[i];
  outn("%lld^3 points, %lld iterations, %lld threads: %.3f s, %lld moves", (long long)j.n, (long long)j.iterations,
       (long long)j.threads, seconds, (long long)moves);
  outn("checksum %.17g", sum);
  if (j.n <= 96) {
    if (!same_as_sequential(&j, cube)) {
      errn("jacobi: the result differs from the sequential one");
      exit(1);
    }
    outn("same as sequential");
  }
  my_free(cube);
  my_free(threads);
  catch(DMI_munmap(addr, NULL));
  catch(DMI_munmap(j.cube, NULL));
  catch(DMI_munmap(j.faces, NULL));
  catch(DMI_barrier_destroy(j.barrier));
  catch(DMI_munmap(j.barrier, NULL));
}
