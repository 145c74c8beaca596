/* Sorts an array that is four times what one node offers, and leaves it in global memory: blocks of it, one a thread, are sorted
 * and then merged with their neighbours' in turn (odd-even merge splitting). What lies where:
 *
 *   - first thread alone writes everything, as the owner: its node must hand over what is beyond its pool (remote swap);
 *   - readers cache what they read, on top of what their node owns: copies must be dropped (eviction);
 *   - at the end all is compared with a sequential sort, and becomes one node's once more.
 *
 * Pools are accounted as a whole: a mapping is accepted if the pools of all nodes together, less what is mapped already, have room for
 * it. So the array can never be all four pools to the last byte, and one node here offers less than the others; see the test. Beyond
 * that DMI_mmap refuses, which is checked while the array is there and after it.
 *
 *   PROGRAM BYTES POOLS [UNTIL]     array; all pools together; at the end wait until this file exists
 */
#include "app.h"

enum { PAGE = 1 << 16 };

static int by_value(const void *a, const void *b) {
  const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

/* The first `n` (low) or last `n` of the keys of two sorted arrays of n, sorted. */
static void split(const uint64_t *mine, const uint64_t *other, int64_t n, int low, uint64_t *to) {
  if (low)
    for (int64_t k = 0, i = 0, j = 0; k < n; k++) to[k] = mine[i] <= other[j] ? mine[i++] : other[j++];
  else
    for (int64_t k = n - 1, i = n - 1, j = n - 1; k >= 0; k--) to[k] = mine[i] >= other[j] ? mine[i--] : other[j--];
}

int64_t DMI_thread(int64_t addr) {
  enter(addr);
  const int64_t array = shared.data[0], keys = shared.data[1] / 8 / shared.threads, size = keys * 8, mine = array + rank * size;
  uint64_t *block = my_malloc(size), *other = my_malloc(size), *merged = my_malloc(size);
  fetch(mine, size, block);
  qsort(block, (size_t)keys, 8, by_value);
  take(mine, size, block);
  for (int64_t phase = 0; phase < shared.threads; phase++) {
    const int64_t partner = rank + ((rank + phase) % 2 ? -1 : 1);
    const int paired = partner >= 0 && partner < shared.threads;
    meet();
    if (paired) fetch(array + partner * size, size, other);
    meet(); /* both have read */
    if (!paired) continue;
    split(block, other, keys, rank < partner, merged);
    memcpy(block, merged, (size_t)size);
    take(mine, size, block);
  }
  my_free(block), my_free(other), my_free(merged);
  meet();
  return DONE;
}

/* More than there is room for is refused, in words; to the last byte is accepted. */
static void check_room(int64_t pools, int64_t mapped) {
  int64_t addr, room = pools - mapped;
  CHECK(room > 0);
  REFUSED(DMI_mmap(&addr, 1, room + 1, NULL), ENOMEM);
  CHECK(strstr(DMI_error(), "no room for a mapping of ") && strstr(DMI_error(), "--memory"));
  REFUSED(DMI_mmap(&addr, PAGE, pools, NULL), ENOMEM);
  REFUSED(DMI_mmap(&addr, (int64_t)1 << 40, 16, NULL), ENOMEM);
  unmap(map(1, room));
}

void DMI_main(int argc, char **argv) {
  CHECK(argc > 2);
  const int64_t size = atoll(argv[1]), pools = atoll(argv[2]), keys = size / 8;
  const char *until = argc > 3 ? argv[3] : NULL;
  start(1, argv);
  CHECK(size % (PAGE * shared.threads) == 0);
  const int64_t few = (int64_t)sizeof(DMI_barrier_t); /* what is mapped besides the array; the root page does not count */
  const int64_t array = shared.data[0] = map(PAGE, size / PAGE);
  shared.data[1] = size;
  check_room(pools, few + size);
  uint64_t *sequential = my_malloc(size), *parallel = my_malloc(size);
  for (int64_t i = 0; i < keys; i++) sequential[i] = random_bits(0, i);
  take(array, size, sequential);
  run_threads();
  qsort(sequential, (size_t)keys, 8, by_value);
  get(array, size, parallel);
  CHECK(memcmp(parallel, sequential, (size_t)size) == 0);
  if (until) {
    take(array, size, parallel); /* all of it to one node again: what is beyond its pool must go, with nobody asking for it */
    outn("sorted");
    while (access(until, F_OK) != 0) halt(0.05);
    get(array, size, parallel); /* wherever it is now */
    CHECK(memcmp(parallel, sequential, (size_t)size) == 0);
  }
  unmap(array);
  check_room(pools, few);
  finish("poolsort");
}
