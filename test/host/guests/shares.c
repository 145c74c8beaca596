/* shares: memory that threads of one host share by name, and what cannot be had. With an argument it waits, exporting, until
 * that file exists: nobody may move it meanwhile. */
#include "dmi_api.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MUST(call)                                                    \
  do {                                                                \
    if (!(call)) printf("line %d: %s: %s\n", __LINE__, #call, DMI_error()), exit(1); \
  } while (0)
#define FAILS(call, error)                                                                               \
  do {                                                                                                   \
    errno = 0;                                                                                           \
    const char *name = (call) ? "done?" : strerrorname_np(errno);                                        \
    printf("%s %s\n", name, errno == (error) ? DMI_error() : "not that");                                \
  } while (0)

struct board {
  _Atomic int64_t turn;
  int64_t words[100000];
};
static struct board board;
static struct board left;
const char *strerrorname_np(int);

int64_t DMI_thread(int64_t who) {
  DMI_thread_t first = {.dmi_id = (int32_t)(who >> 32), .thread_id = (int32_t)(who & 0x7fffffff)};
  void *p;
  int64_t size, sum = 0;
  MUST(DMI_import(first, "board", &p, &size));
  struct board *b = p;
  if (size != sizeof board || b == &board) return -1; /* `board` without the import is this thread's own */
  for (int64_t i = 0; i < 100000; i++) sum += b->words[i];
  b->words[0] = 7777;
  atomic_store(&b->turn, 1);
  while (atomic_load(&b->turn) != 2) DMI_yield();
  MUST(DMI_unimport(p));
  FAILS(DMI_unimport(p), EINVAL);
  for (int i = 0; i < 10; i++) left.words[i] = i + 1;
  MUST(DMI_export("left", &left, sizeof left));
  atomic_store(&b->turn, 3); /* given back, and still there: its thread lives */
  while (atomic_load(&b->turn) != 4) DMI_yield();
  return sum;
}

int main(int argc, char **argv) {
  for (int64_t i = 0; i < 100000; i++) board.words[i] = i;
  DMI_thread_t self, other, nobody = {.dmi_id = 1, .thread_id = 999};
  int32_t here;
  void *p;
  int64_t sum;
  MUST(DMI_self(&self));
  MUST(DMI_rank(&here));
  FAILS(DMI_export("board", (void *)16, 8), EFAULT);
  FAILS(DMI_export("", &board, 8), EINVAL);
  FAILS(DMI_import(nobody, "board", &p, NULL), EXDEV);
  FAILS(DMI_import(self, "board", &p, NULL), ENOENT);
  MUST(DMI_export("board", &board, sizeof board));
  FAILS(DMI_export("board", &board, sizeof board), EEXIST);
  MUST(DMI_create(&other, here, (int64_t)self.dmi_id << 32 | self.thread_id, 0, NULL));
  while (atomic_load(&board.turn) != 1) DMI_yield();
  printf("written by another: %ld\n", (long)board.words[0]);
  atomic_store(&board.turn, 2);
  while (atomic_load(&board.turn) != 3) DMI_yield();
  MUST(DMI_import(other, "left", &p, NULL));
  atomic_store(&board.turn, 4);
  MUST(DMI_join(other, &sum, NULL));
  struct board *its = p; /* its thread has ended */
  long rest = 0;
  for (int i = 0; i < 10; i++) rest += (long)its->words[i];
  printf("sum %ld, of the dead %ld\n", (long)sum, rest);
  FAILS(DMI_import(other, "left", &p, NULL), EXDEV);
  printf("ready\n");
  fflush(stdout);
  while (argc > 1 && access(argv[1], F_OK) != 0) DMI_yield();
  MUST(DMI_unimport(its));
  MUST(DMI_unexport("board"));
  FAILS(DMI_unexport("board"), ENOENT);
  printf("free\n");
  fflush(stdout);
  char again[4096];
  snprintf(again, sizeof again, "%s.end", argc > 1 ? argv[1] : "/");
  while (argc > 1 && access(again, F_OK) != 0) DMI_yield();
  return 0;
}
