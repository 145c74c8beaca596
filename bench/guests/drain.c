/* drain SIZE FILE: an ordinary program that fills SIZE bytes (40MiB) of heap, says `ready`, and waits until FILE is there while it
 * looks at a page of its heap every 10 ms. Then it checks all of it. The suite drains the node that many of these are on. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench_guest.h"

static uint64_t word(size_t i, int rank) { return (i + (uint64_t)rank) * 0x9e3779b97f4a7c15u; }

int main(int argc, char **argv) {
  char *unit;
  const size_t mib = argc == 3 ? strtoull(argv[1], &unit, 10) : 0;
  if (mib == 0) {
    fprintf(stderr, "usage: drain SIZE FILE, with SIZE like 40MiB\n");
    return 2;
  }
  const char *number = getenv("DMI_RANK");
  const int rank = number ? atoi(number) : 0;
  const size_t words = (mib << 20) / sizeof(uint64_t);
  uint64_t *heap = malloc(words * sizeof *heap);
  if (!heap) return 1;
  for (size_t i = 0; i < words; i++) heap[i] = word(i, rank);
  printf("ready\n");
  fflush(stdout);
  for (size_t at = 0; access(argv[2], F_OK) != 0; at = (at + 7919 * 512) % words) {
    if (heap[at] != word(at, rank)) return 3;
    usleep(10000);
  }
  for (size_t i = 0; i < words; i++)
    if (heap[i] != word(i, rank)) return 3;
  return 0;
}
