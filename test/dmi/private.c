/* Everything a C program keeps is private to a thread and moves with it: globals, __thread, heap, stack, stdio, floating-point
 * environment, jmp_buf. */
#include <fenv.h>

#include "check.h"

static int64_t global = 1;
static __thread int64_t local = 2;
static char text[100000];

static int64_t deep(int64_t n) {
  volatile int64_t here = n * 3;
  if (n % 16 == 0) CHECK(DMI_yield());
  int64_t below = n > 0 ? deep(n - 1) : 0;
  CHECK(here == n * 3);
  return below + n;
}

static int jump(void) {
  jmp_buf back;
  volatile int jumped = 0;
  if (setjmp(back) == 0) {
    CHECK(DMI_yield());
    jumped = 1;
    longjmp(back, 1);
  }
  return jumped;
}

int64_t DMI_thread(int64_t addr) {
  enter(addr);
  CHECK(global == 1 && local == 2 && text[0] == 0);
  char *heap = my_malloc(300000), *where = heap;
  FILE *stream = tmpfile(); /* a descriptor of my own, if the host lets me */
  if (stream) fclose(stream);
  for (int i = 0; i < 300000; i++) heap[i] = (char)mix(rank, i, 0);
  memset(text, 'a' + rank % 26, sizeof text);
  while (again()) {
    for (int i = 0; i < 20; i++) {
      global += rank + 1;
      local *= 3;
      int64_t g = global, l = local;
      fesetround(i % 2 ? FE_UPWARD : FE_DOWNWARD);
      volatile double one = 1, three = 3;
      double third = one / three;
      CHECK(DMI_yield());
      CHECK(global == g && local == l && heap == where);
      CHECK(fegetround() == (i % 2 ? FE_UPWARD : FE_DOWNWARD));
      CHECK(one / three == third);
      fesetround(FE_TONEAREST);
      CHECK(deep(100) == 5050);
      CHECK(jump() == 1);
      errno = 1000 + i;
      DMI_yield();
      CHECK(errno == 1000 + i);
    }
    for (int i = 0; i < 300000; i++) CHECK(heap[i] == (char)mix(rank, i, 0));
    for (size_t i = 0; i < sizeof text; i++) CHECK(text[i] == 'a' + rank % 26);
  }
  my_free(heap);
  return DONE;
}

void DMI_main(int argc, char **argv) {
  prepare(argc, argv);
  global = 77; /* of this image only */
  run_threads();
  CHECK(global == 77);
  finish("private");
}
