/* Maps global memory until it gets no more; argv[1] MiB at a time. */
#include "dmi_api.h"

void DMI_main(int argc, char **argv) {
  int64_t piece = (argc > 1 ? atoll(argv[1]) : 16) << 20, addr, total = 0;
  for (;;) {
    if (!DMI_mmap(&addr, 1 << 20, piece >> 20, NULL)) break;
    total += piece;
    if (total > (int64_t)1 << 40) exit(9);
  }
  printf("mapped %d MiB, then: %s\n", (int)(total >> 20), DMI_error());
  fflush(stdout);
}
