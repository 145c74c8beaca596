/* noisy LINES: long lines on stdout and stderr, as fast as they go. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
  int lines = argc > 1 ? atoi(argv[1]) : 1000;
  char filler[101];
  memset(filler, 'a' + atoi(getenv("DMI_RANK")), 100);
  filler[100] = 0;
  for (int i = 0; i < lines; i++) {
    printf("%s %d %s\n", getenv("DMI_RANK"), i, filler);
    if (i % 10 == 0) fprintf(stderr, "%s %d err\n", getenv("DMI_RANK"), i);
  }
  return 0;
}
