/* Mandelbrot's set by self-scheduling: whoever is free takes the next row from a counter and writes it to the image. Rows differ
 * much in cost; every row is done exactly once. */
#include "app.h"

enum { WIDTH = 96, HEIGHT = 64, MOST = 300 };

static void compute(int64_t y, int32_t *pixels) {
  /* Another window each round. */
  const double zoom = 1.0 / (double)(1 + round_number % 5), top = -1.2 * zoom, left = -0.7 - 1.6 * zoom;
  const double im = top + 2.4 * zoom * (double)y / HEIGHT;
  for (int x = 0; x < WIDTH; x++) {
    const double re = left + 2.4 * zoom * x / WIDTH;
    double a = 0, b = 0;
    int32_t n = 0;
    for (; n < MOST && a * a + b * b <= 4; n++) {
      const double next = a * a - b * b + re;
      b = 2 * a * b + im;
      a = next;
    }
    pixels[x] = n;
  }
}

int64_t DMI_thread(int64_t addr) {
  enter(addr);
  const int64_t image = shared.data[0], counter = shared.data[1];
  int32_t pixels[WIDTH], there[WIDTH];
  while (again()) {
    int64_t done = 0, all;
    for (int64_t y; (y = add_word(counter, 1)) < HEIGHT; done++) {
      compute(y, pixels);
      put(image + y * (int64_t)sizeof pixels, sizeof pixels, pixels);
      if (y % 4 == rank % 4) CHECK(DMI_yield());
    }
    CHECK(DMI_local_barrier_allreduce(&barrier, (int32_t)shared.threads, &done, &all, DMI_OP_SUM, DMI_TYPE_LONGLONG));
    CHECK(all == HEIGHT);
    if (rank == 0) {
      for (int64_t y = 0; y < HEIGHT; y++) {
        compute(y, pixels);
        get(image + y * (int64_t)sizeof there, sizeof there, there);
        CHECK(memcmp(there, pixels, sizeof there) == 0);
      }
      CHECK(get_word(counter) == HEIGHT + shared.threads);
      put_word(counter, 0);
    }
  }
  return DONE;
}

void DMI_main(int argc, char **argv) {
  start(argc, argv);
  shared.data[0] = map(WIDTH * 4, HEIGHT);
  shared.data[1] = map(8, 1);
  run_to_end("mandelbrot", 2);
}
