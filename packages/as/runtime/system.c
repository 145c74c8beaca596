/* Arguments, environment, files, time and the end of the program. Texts that the program takes are kept here until it has room
 * for them: a call gives the length, Z_dmiZ_text the bytes. */
#include "dmi_api.h"
#undef catch
#undef throw
#undef error
#undef E

#include "program.h"

struct Z_dmi_instance_t;
struct Z_env_instance_t;
#define BIND(result, name, ...)                                           \
  result Z_dmiZ_##name(struct Z_dmi_instance_t *instance, ##__VA_ARGS__); \
  result Z_dmiZ_##name(__attribute__((unused)) struct Z_dmi_instance_t *instance, ##__VA_ARGS__)
#define BIND_ENV(result, name, ...)                                       \
  result Z_envZ_##name(struct Z_env_instance_t *instance, ##__VA_ARGS__); \
  result Z_envZ_##name(__attribute__((unused)) struct Z_env_instance_t *instance, ##__VA_ARGS__)

#define NONE UINT32_MAX
static char *waiting;

static uint32_t offer(const char *text) {
  free(waiting);
  waiting = text ? strdup(text) : NULL;
  return waiting ? (uint32_t)strlen(waiting) : NONE;
}
BIND(void, text, uint32_t to) {
  if (waiting) memcpy(dmi_ts_at(to), waiting, strlen(waiting));
}
/* errno's sentence for a file; empty when the last failure was a DMI call's. */
static char file_failure[512];
BIND(uint32_t, failure) {
  const uint32_t length = offer(file_failure[0] ? file_failure : DMI_error());
  file_failure[0] = 0;
  return length == NONE ? 0 : length;
}
BIND(uint32_t, argument, int32_t i) { return i < dmi_ts_argc ? offer(dmi_ts_argv[i]) : NONE; }

/* `length` bytes of linear memory as a C string. */
static char *name_at(uint32_t at, uint32_t length) { return strndup(dmi_ts_at(at), length); }

BIND(uint32_t, environment, uint32_t name, uint32_t length) {
  char *wanted = name_at(name, length);
  const uint32_t found = offer(wanted ? getenv(wanted) : NULL);
  free(wanted);
  return found;
}
BIND(void, exit, int32_t status) { exit(status); }
BIND(void, sleep, double seconds) { dmi_helper_sleep(seconds); }

/* ---- files --------------------------------------------------------------------------------------------------------------- */
static int64_t failed(const char *path, const char *what) {
  snprintf(file_failure, sizeof file_failure, "%s cannot be %s: %s", path ? path : "a file", what, strerror(errno));
  return -1;
}
BIND(int64_t, file_size, uint32_t at, uint32_t length) {
  char *path = name_at(at, length);
  struct stat st;
  int64_t size = -1;
  if (path == NULL || stat(path, &st) != 0) failed(path, "read");
  else if (S_ISDIR(st.st_mode)) errno = EISDIR, failed(path, "read");
  else size = st.st_size;
  free(path);
  return size;
}
BIND(int64_t, file_read, uint32_t at, uint32_t length, uint32_t to, uint32_t size) {
  char *path = name_at(at, length);
  FILE *file = path ? fopen(path, "rbe") : NULL;
  int64_t got = -1;
  if (file) {
    got = (int64_t)fread(dmi_ts_at(to), 1, size, file);
    if (ferror(file)) got = failed(path, "read");
    fclose(file);
  } else {
    failed(path, "read");
  }
  free(path);
  return got;
}
BIND(int32_t, file_write, uint32_t at, uint32_t length, uint32_t from, uint32_t size, int32_t append) {
  char *path = name_at(at, length);
  FILE *file = path ? fopen(path, append ? "abe" : "wbe") : NULL;
  int32_t ok = 0;
  if (file) {
    ok = fwrite(dmi_ts_at(from), 1, size, file) == size;
    ok = fclose(file) == 0 && ok;
  }
  if (!ok) failed(path, "written");
  free(path);
  return ok;
}

/* ---- what AssemblyScript's library imports ------------------------------------------------------------------------------- */
BIND_ENV(double, DateZ2Enow) { return (double)(int64_t)(dmi_helper_time() * 1e3); }
BIND_ENV(double, performanceZ2Enow) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}
BIND_ENV(double, seed) {
  uint64_t bits = 0;
  if (getentropy(&bits, sizeof bits) != 0) bits = (uint64_t)(dmi_helper_time() * 1e9);
  return (double)(bits >> 11);
}
BIND_ENV(void, processZ2Eexit, int32_t status) { exit(status); }
