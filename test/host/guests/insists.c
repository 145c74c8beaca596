/* insists TIMES: goes to and fro between nodes 1 and 2 until it has been refused so often; each time it asks at once for a node that is
 * not there, which must be refused as well. */
#include <stdio.h>
#include <stdlib.h>

#include "dmi_api.h"

int main(int argc, char **argv) {
  DMI_thread_t self, moved;
  int32_t here;
  int8_t done;
  if (argc < 2 || !DMI_self(&self) || !DMI_rank(&here)) return 1;
  for (int left = atoi(argv[1]); left > 0;) {
    const int32_t to = 3 - here;
    if (DMI_migrate(self, to, &moved, &done, NULL) && done) {
      if (!DMI_rank(&here) || here != to) return 2;
      continue;
    }
    left--;
    if (DMI_migrate(self, 1000000, &moved, &done, NULL) && done) {
      printf("went to a node that is not there, which is %d\n", DMI_rank(&here) ? here : -1);
      return 3;
    }
  }
  return 0;
}
