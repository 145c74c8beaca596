/* An ordinary program, started N times: says what it is at, in order, from private memory of every kind that must move with it.
 *   steps STEPS MILLISECONDS [STATUS]     each rank takes STEPS steps, MILLISECONDS apart, and exits with STATUS if it is rank 1
 *   steps FILE MILLISECONDS [0 MIB]       as many as it takes until FILE is there; with MIB of heap instead of one */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int global = 1000;
static __thread int local = 2000;

int main(int argc, char **argv) {
  const char *file = argc > 1 && argv[1][0] == '/' ? argv[1] : NULL;
  int steps = argc > 1 ? atoi(argv[1]) : 3, ms = argc > 2 ? atoi(argv[2]) : 0, status = argc > 3 ? atoi(argv[3]) : 0;
  const char *rank = getenv("DMI_RANK"), *size = getenv("DMI_SIZE");
  if (!rank || !size) return 99;
  long bytes = (argc > 4 ? atol(argv[4]) : 1) << 20;
  char *heap = malloc(bytes);
  memset(heap, atoi(rank) + 1, bytes);
  int onstack = 3000;
  for (int i = 0; file ? access(file, F_OK) != 0 : i < steps; i++) {
    global++, local++, onstack++;
    for (long k = 0; k < bytes; k += 4096)
      if (heap[k] != atoi(rank) + 1) return 98;
    if (global != 1001 + i || local != 2001 + i || onstack != 3001 + i) return 97;
    printf("rank %s of %s step %d\n", rank, size, i);
    fflush(stdout);
    if (ms) usleep(ms * 1000);
  }
  fprintf(stderr, "rank %s is done\n", rank);
  return strcmp(rank, "1") == 0 ? status : 0;
}
