/* zeros GO: holds 32 MiB that it has filled and cleared again, and 4 MiB of which it clears some pages and fills others, over and over,
 * looking at all of them each time, until the file GO exists. Then it looks at everything. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CLEARED = 32 << 20, CHANGING = 4 << 20, PAGE = 4096, PAGES = CHANGING / PAGE };

static unsigned char of(int page, int step) { return (page / 5 + step) % 3 ? 0 : (unsigned char)(page % 255 + 1); }

static int is(const unsigned char *page, unsigned char value) {
  return page[0] == value && memcmp(page, page + 1, PAGE - 1) == 0;
}

int main(int argc, char **argv) {
  if (argc != 2) return 99;
  unsigned char *cleared = malloc(CLEARED), *changing = calloc(1, CHANGING);
  /* Not by memset, which the compiler might take for what it does again. */
  for (volatile unsigned char *p = cleared; p < cleared + CLEARED; p++) *p = 1;
  for (volatile unsigned char *p = cleared; p < cleared + CLEARED; p++) *p = 0;
  int step = 0;
  for (int page = 0; page < PAGES; page++) memset(changing + page * PAGE, of(page, step), PAGE);
  printf("ready\n");
  fflush(stdout);
  for (; access(argv[1], F_OK) != 0; step++)
    for (int page = 0; page < PAGES; page++) {
      if (!is(changing + page * PAGE, of(page, step))) return 98;
      memset(changing + page * PAGE, of(page, step + 1), PAGE);
    }
  for (int at = 0; at < CLEARED; at += PAGE)
    if (!is(cleared + at, 0)) return 97;
  return 7;
}
