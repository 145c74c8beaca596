/* given: buffers that are not the thread's, or may not be written, for pages that are at hand. */
#include <stdio.h>

#include "dmi_api.h"

static int64_t a;

__attribute__((noinline)) static void refused(int64_t at) {
  void *p = (void *)at;
  int64_t x = 0;
  printf("%d%d%d\n", DMI_read(a, 8, p, DMI_GET, NULL), DMI_write(a, 8, p, DMI_EXCLUSIVE, NULL),
         DMI_read(a, INT64_MAX, p, DMI_GET, NULL));
  if (!DMI_read(a, 8, &x, DMI_GET, NULL) || x != 5) printf("the page has changed\n");
}
__attribute__((noinline)) static int culprit(void) {
  int ok = DMI_read(a, 8, (void *)"constant", DMI_GET, NULL);
  return ok + 1;
}
void DMI_main(int argc, char **argv) {
  int64_t x = 5;
  DMI_mmap(&a, 4096, 1, NULL);
  DMI_write(a, 8, &x, DMI_EXCLUSIVE, NULL);
  for (int i = 0; i < 3; i++) DMI_read(a, 8, &x, DMI_GET, NULL);
  int64_t not_ours[] = {8, 0x400000, 0x100000000, 0x7fff00000000, -1, 0x6ffffffffffc};
  for (unsigned i = 0; i < sizeof not_ours / sizeof *not_ours; i++) refused(not_ours[i]);
  fflush(stdout);
  printf("%d\n", culprit());
}
