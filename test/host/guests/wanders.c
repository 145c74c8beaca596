/* wanders FILE: goes from node to node of its own accord, without a break, and notes how often in FILE, until FILE.end is there. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "dmi_api.h"

int main(int argc, char **argv) {
  char end[4096], line[32];
  DMI_thread_t self, moved;
  DMI_node_t nodes[8];
  int32_t n;
  int8_t done;
  if (argc < 2 || !DMI_self(&self) || !DMI_nodes(nodes, &n, 8)) return 1;
  snprintf(end, sizeof end, "%s.end", argv[1]);
  int fd = open(argv[1], O_WRONLY | O_CREAT, 0600);
  if (fd < 0) return 2;
  for (long i = 1; access(end, F_OK) != 0; i++) {
    if (!DMI_migrate(self, nodes[i % n].dmi_id, &moved, &done, NULL)) return 3;
    if (pwrite(fd, line, (size_t)snprintf(line, sizeof line, "%ld\n", i), 0) < 0) return 4;
  }
  return 0;
}
