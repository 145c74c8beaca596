/* Mappings: any page size, contiguous, zero at first, gone after munmap. */
#include "check.h"

int64_t DMI_thread(int64_t addr) {
  static const int64_t sizes[] = {1, 7, 8, 100, 4096, 5000, 1 << 20};
  enter(addr);
  while (again())
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
      int64_t pages = sizes[i] < 4096 ? 40 : 3, bytes = sizes[i] * pages;
      int64_t a = map(sizes[i], pages), b = map(sizes[i], pages);
      CHECK(a > 0 && b > 0 && (a + bytes <= b || b + bytes <= a));
      char *zero = my_calloc(bytes), *text = my_malloc(bytes), *back = my_malloc(bytes);
      get(a, bytes, back);
      CHECK(memcmp(back, zero, (size_t)bytes) == 0);
      for (int64_t j = 0; j < bytes; j++) text[j] = (char)mix(j, rank, (int64_t)i);
      put(a, bytes, text); /* across all pages */
      CHECK(DMI_yield());
      get(a, bytes, back);
      CHECK(memcmp(back, text, (size_t)bytes) == 0);
      if (bytes > 20) { /* unaligned, over a page border */
        int64_t at = sizes[i] > 3 ? sizes[i] - 3 : 2, n = bytes - at < 11 ? bytes - at : 11;
        get(a + at, n, back);
        CHECK(memcmp(back, text + at, (size_t)n) == 0);
        put(a + at, n, zero);
        memset(text + at, 0, (size_t)n);
        get(a, bytes, back);
        CHECK(memcmp(back, text, (size_t)bytes) == 0);
      }
      get(b, bytes, back);
      CHECK(memcmp(back, zero, (size_t)bytes) == 0);
      REFUSED(DMI_read(a + bytes - 1, 2, back, DMI_GET, NULL), EFAULT);
      unmap(b);
      REFUSED(DMI_read(b, 1, back, DMI_GET, NULL), EFAULT);
      REFUSED(DMI_write(b, 1, text, DMI_PUT, NULL), EFAULT);
      CHECK(!DMI_munmap(b, NULL));
      CHECK(!DMI_munmap(a + 1, NULL));
      unmap(a);
      my_free(zero);
      my_free(text);
      my_free(back);
    }
  return DONE;
}

void DMI_main(int argc, char **argv) {
  prepare(argc, argv);
  run_threads();
  finish("mmap");
}
