/* A program with a main of its own: started DMI_SIZE times, each with its number; the calls work as in DMI_main. */
#include "check.h"

int main(int argc, char **argv) {
  const char *number = getenv("DMI_RANK"), *size = getenv("DMI_SIZE");
  CHECK(argc >= 1 && argv[0] && number && size);
  CHECK(atoi(number) >= 0 && atoi(number) < atoi(size));
  int64_t a = map(100, 3), x = mix(atoi(number), 1, 2);
  shared.seconds = argc > 1 ? atof(argv[1]) : 0;
  snprintf(shared.until, sizeof shared.until, "%s", argc > 2 ? argv[2] : "");
  started = get_time();
  do {
    for (int i = 0; i < 20; i++) {
      put_word(a + 96, x + i);
      CHECK(DMI_yield());
      CHECK(get_word(a + 96) == x + i);
    }
  } while (goes_on());
  unmap(a);
  if (atoi(number) == 0) outn("ok main");
  return 0;
}
