/* What the macros and inline functions of dmi_helpers.h lean on. */
#include "guest.h"

/* errno's text, and DMI's own sentence where a DMI call failed. */
static void report(const char *file, int line, const char *call) {
  int error = errno;
  const char *why = call && strstr(call, "DMI_") ? DMI_error() : "";
  fprintf(stderr, "%s:%d: %s%s%s%s%s\n", file, line, call ? call : "", call ? ": " : "", strerror(error), *why ? ": " : "",
          why);
  fflush(stderr);
}

void dmi_helper_failed(const char *file, int line, const char *call) {
  report(file, line, call);
  exit(1);
}

void dmi_helper_passed(const char *file, int line, const char *function, const char *call) {
  int error = errno;
  fprintf(stderr, "  at %s:%d: in %s: %s\n", file, line, function, call);
  fflush(stderr);
  errno = error;
}

void dmi_helper_print(FILE *to, int newline, const char *format, ...) {
  va_list list;
  va_start(list, format);
  vfprintf(to, format, list);
  va_end(list);
  if (newline) fputc('\n', to);
  fflush(to);
}

double dmi_helper_time(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void dmi_helper_sleep(double seconds) {
  if (!(seconds > 0)) return;
  struct timespec rest = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  while (nanosleep(&rest, &rest) != 0 && errno == EINTR) {
  }
}
