/* Says that it is there, and stays. */
#include <unistd.h>
int main(void) {
  if (write(1, "here\n", 5) != 5) return 1;
  for (;;) pause();
}
