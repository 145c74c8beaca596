/* Strings between the program (UTF-16, the size in bytes before the first unit) and the world (UTF-8). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"

static size_t put(char *to, uint32_t c) {
  if (c < 0x80) return to[0] = (char)c, 1;
  const int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  static const unsigned char lead[] = {0, 0xc0, 0xe0, 0xf0};
  to[0] = (char)(lead[more] | c >> 6 * more);
  for (int i = 1; i <= more; i++) to[i] = (char)(0x80 | (c >> 6 * (more - i) & 63));
  return (size_t)more + 1;
}

char *dmi_ts_utf8(uint32_t string) {
  uint32_t bytes = 0;
  if (string) memcpy(&bytes, dmi_ts_memory + string - 4, 4);
  const uint32_t n = bytes / 2;
  char *text = malloc(3 * (size_t)n + 1);
  if (text == NULL) return NULL;
  size_t length = 0;
  for (uint32_t i = 0; i < n; i++) {
    uint16_t unit, next = 0;
    memcpy(&unit, dmi_ts_memory + string + 2 * i, 2);
    if (i + 1 < n) memcpy(&next, dmi_ts_memory + string + 2 * i + 2, 2);
    uint32_t c = unit;
    if (unit >> 10 == 0x36 && next >> 10 == 0x37) {
      c = 0x10000 + ((uint32_t)(unit & 0x3ff) << 10) + (next & 0x3ff);
      i++;
    } else if (unit >> 11 == 0x1b) {
      c = 0xfffd; /* half of a pair */
    }
    length += put(text + length, c);
  }
  text[length] = 0;
  return text;
}

/* ---- console, as AssemblyScript's library imports it ---------------------------------------------------------------------- */
struct Z_env_instance_t;
static void say(FILE *to, const char *before, uint32_t string) {
  char *text = dmi_ts_utf8(string);
  fputs(before, to);
  fputs(text ? text : "(no memory for this text)", to);
  fputc('\n', to);
  fflush(to);
  free(text);
}
#define CONSOLE(name, to) \
  void Z_envZ_consoleZ2E##name(struct Z_env_instance_t *, uint32_t); \
  void Z_envZ_consoleZ2E##name(struct Z_env_instance_t *i, uint32_t string) { (void)i, say(to, "", string); }
CONSOLE(log, stdout)
CONSOLE(info, stdout)
CONSOLE(debug, stdout)
CONSOLE(warn, stderr)
CONSOLE(error, stderr)

void Z_envZ_consoleZ2Eassert(struct Z_env_instance_t *, uint32_t, uint32_t);
void Z_envZ_consoleZ2Eassert(struct Z_env_instance_t *i, uint32_t so, uint32_t string) {
  (void)i;
  if (!so) say(stderr, "Assertion failed: ", string);
}

void Z_envZ_trace(struct Z_env_instance_t *, uint32_t, uint32_t, double, double, double, double, double);
void Z_envZ_trace(struct Z_env_instance_t *i, uint32_t string, uint32_t n, double a, double b, double c, double d, double e) {
  (void)i;
  const double values[] = {a, b, c, d, e};
  char *text = dmi_ts_utf8(string);
  fprintf(stderr, "trace: %s", text ? text : "");
  for (uint32_t k = 0; k < n && k < 5; k++) fprintf(stderr, "%s%.17g", k ? ", " : " ", values[k]);
  fputc('\n', stderr);
  fflush(stderr);
  free(text);
}
