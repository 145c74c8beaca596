/* faults KIND: dies of it, in the function culprit. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile int zero;
static int *volatile nowhere = (int *)0x18;

__attribute__((noinline)) static int overflow(int n) {
  volatile char frame[512];
  frame[n % 512] = (char)n;
  return overflow(n + 1) + frame[(n + 1) % 512];
}
__attribute__((noinline)) int culprit(const char *kind) {
  if (!strcmp(kind, "null")) return *nowhere;
  if (!strcmp(kind, "divide")) return 7 / zero;
  if (!strcmp(kind, "abort")) abort();
  if (!strcmp(kind, "stack")) return overflow(0);
  if (!strcmp(kind, "garbage")) return ((int (*)(void))0x123456789000)();
  if (!strcmp(kind, "data")) return ((int (*)(void))(void *)strdup("\xc3"))();
  if (!strcmp(kind, "readonly")) return *(char *)(void *)"text" = 1;
  if (!strcmp(kind, "trap")) __builtin_trap();
  return 0;
}
int main(int argc, char **argv) {
  printf("before");
  fflush(stdout);
  return culprit(argc > 1 ? argv[1] : "null");
}
