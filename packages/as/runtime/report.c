/* The end of a program that has gone wrong: what, where in the TypeScript source, and the thread it happened in. */
#include <backtrace.h>

#include "dmi_api.h"
#undef catch
#undef throw
#undef error
#undef E

#include "program.h"

#define FRAMES 24

/* One line each, in the order of calls; what is the runtime's own is left out. */
struct stack {
  struct { const char *name, *file; int line; } frames[FRAMES];
  int n, more;
};

static const char *typescript_name(const char *c) {
  for (int i = 0; dmi_ts_names[i][0]; i++)
    if (strcmp(dmi_ts_names[i][0], c) == 0) return dmi_ts_names[i][1];
  return NULL;
}

static int on_frame(void *data, uintptr_t pc, const char *file, int line, const char *function) {
  (void)pc;
  struct stack *s = data;
  const char *name = function ? typescript_name(function) : NULL;
  if (name == NULL || *name == 0 || file == NULL) return 0;
  if (s->n == FRAMES) {
    s->more = 1;
    return 1;
  }
  s->frames[s->n].name = name;
  s->frames[s->n].file = file;
  s->frames[s->n++].line = line;
  return 0;
}

static void on_error(void *data, const char *message, int error) { (void)data, (void)message, (void)error; }

static int is_library(const char *file) { return strncmp(file, "~lib/", 5) == 0; }

static void print_thread(void) {
  DMI_thread_t self = {-1, -1};
  int32_t here = -1, n = 0;
  static DMI_node_t nodes[256];
  const char *host = "?";
  if (DMI_self(&self) && DMI_rank(&here) && DMI_nodes(nodes, &n, 256))
    for (int32_t i = 0; i < n; i++)
      if (nodes[i].dmi_id == here) host = nodes[i].hostname;
  fprintf(stderr, "    in thread %d.%d on node %d (%s)\n", self.dmi_id, self.thread_id, here, host);
}

/* `file`, `line`, `column` (0: unknown) are of the throw; a trap has none, and takes those of the innermost frame. */
__attribute__((noreturn)) static void end(const char *message, const char *file, uint32_t line, uint32_t column) {
  static struct stack stack;
  fflush(stdout);
  struct backtrace_state *state = backtrace_create_state("/proc/self/exe", 0, on_error, NULL);
  if (state) backtrace_full(state, 1, on_frame, on_error, &stack);
  /* What the library throws was caused by the first frame outside of it. */
  int at = 0;
  while (at < stack.n && is_library(stack.frames[at].file)) at++;
  if (at < stack.n && (file == NULL || is_library(file))) {
    file = stack.frames[at].file;
    line = (uint32_t)stack.frames[at].line;
    column = 0;
  }
  fprintf(stderr, "%s:%u", file ? file : "?", line);
  if (column) fprintf(stderr, ":%u", column);
  fprintf(stderr, ": error: %s\n", message);
  for (int i = 0; i < stack.n; i++)
    fprintf(stderr, "    at %s (%s:%d)\n", stack.frames[i].name, stack.frames[i].file, stack.frames[i].line);
  if (stack.more) fprintf(stderr, "    at …\n");
  print_thread();
  fflush(stderr);
  abort();
}

static const char *const traps[] = {
    [DMI_TS_OOB] = "memory access out of bounds",
    [DMI_TS_INT_OVERFLOW] = "the result of a division or conversion does not fit into the integer",
    [DMI_TS_DIV_BY_ZERO] = "integer division by zero",
    [DMI_TS_INVALID_CONVERSION] = "NaN cannot be converted to an integer",
    [DMI_TS_UNREACHABLE] = "the program reached a point it cannot reach",
    [DMI_TS_CALL_INDIRECT] = "a call through a function value that is null or of another type",
    [DMI_TS_EXHAUSTION] = "the stack is exhausted: is there a recursion without end?",
};

void dmi_ts_trap(enum dmi_ts_trap trap) {
  static char message[256];
  dmi_ts_stack_limit = 0; /* the report may use the margin */
  if (trap == DMI_TS_UNREACHABLE && dmi_ts_wanted) {
    snprintf(message, sizeof message,
             "memory exhausted: %llu MiB in use, at most %llu MiB: give the threads more, dmi run --thread-memory SIZE",
             (unsigned long long)dmi_ts_memory_state->size >> 20, (unsigned long long)dmi_ts_reserved >> 20);
    end(message, NULL, 0, 0);
  }
  end(traps[trap], NULL, 0, 0);
}

/* An uncaught throw, or a failed assertion. */
struct Z_env_instance_t;
void Z_envZ_abort(struct Z_env_instance_t *, uint32_t, uint32_t, uint32_t, uint32_t);
void Z_envZ_abort(struct Z_env_instance_t *i, uint32_t message, uint32_t file, uint32_t line, uint32_t column) {
  (void)i;
  dmi_ts_stack_limit = 0;
  char *what = message ? dmi_ts_utf8(message) : NULL, *where = file ? dmi_ts_utf8(file) : NULL;
  end(what && *what ? what : "assertion failed", where, line, column);
}
