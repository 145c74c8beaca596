/* crash [MILLISECONDS]: rank 1 writes where nothing is, in a function called boom. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

__attribute__((noinline)) void boom(volatile int *where) { *where = 7; }

int main(int argc, char **argv) {
  usleep((argc > 1 ? atoi(argv[1]) : 0) * 1000);
  if (strcmp(getenv("DMI_RANK"), "1") == 0) boom((int *)0x10);
  sleep(30);
  return 0;
}
