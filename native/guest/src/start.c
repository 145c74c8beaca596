/* Where a program that was linked by dmicc begins: finds out what this instance of it is for, and does that.
 *
 * dmicc links with --wrap=main, so the C library's start code calls __wrap_main; __real_main is the program's own main,
 * if it has one.
 */
#include <sys/syscall.h>

#include "guest.h"

#pragma weak DMI_main
#pragma weak DMI_thread
#pragma weak DMI_scaleunit
#pragma weak DMI_function
#pragma weak __real_main
int __real_main(int argc, char **argv, char **envp);
int __wrap_main(int argc, char **argv, char **envp);

/* Ends with one line and status 2: nothing of the program has run. */
static void refuse(const char *program, const char *why) {
  fprintf(stderr, "%s: %s\n", program && *program ? program : "program", why);
  exit(2);
}

static int gate_is_there(void) {
  static int there; /* asked once: a thread may begin where another one has asked already */
  unsigned char resident;
  /* Straight from a shell the page does not exist. Under a host the answer may be anything but ENOMEM. */
  if (!there) there = syscall(SYS_mincore, DMI_GATE_ADDRESS, 4096ul, &resident) == 0 || errno != ENOMEM;
  return there;
}

/* Before any constructor of the program: from here on instances differ. */
static void say_ready(int argc, char **argv, char **envp) {
  (void)argc, (void)argv, (void)envp;
  if (gate_is_there() && DMI_GATE->magic == DMI_GATE_MAGIC && DMI_GATE->version == DMI_GATE_VERSION)
    DMI_GATE->call(DMI_G_READY, NULL);
}
__attribute__((section(".preinit_array"), used)) static void (*const first)(int, char **, char **) = say_ready;

static void check_gate(const char *program) {
  if (!gate_is_there()) refuse(program, "this is a DMI program: start it with `dmi run -- PROGRAM [ARGUMENTS]`");
  if (DMI_GATE->magic != DMI_GATE_MAGIC) refuse(program, "what is mapped at the gate's address is not DMI's gate");
  if (DMI_GATE->version != DMI_GATE_VERSION || DMI_GATE->size < sizeof(struct dmi_gate))
    refuse(program, "the host's gate is of another version: build the program with the dmicc of this installation");
}

static void serve_functions(void) {
  struct dmi_gate_function f = {0};
  while (DMI_GATE->call(DMI_G_SERVE, &f) >= 0) {
    f.status = 0;
    if (DMI_function) DMI_function(f.page_ptr, f.size, f.out_ptr, f.out_size, f.in_ptr, f.in_size, (int8_t)f.tag);
    else f.status = ENOSYS;
  }
}

int __wrap_main(int argc, char **argv, char **envp) {
  const char *program = argc > 0 ? argv[0] : NULL;
  check_gate(program);
  struct dmi_gate_role role = {0};
  if (!dmi_result(DMI_GATE->call(DMI_G_ROLE, &role))) refuse(program, DMI_error());
  int64_t result = 0;
  switch (role.role) {
    case DMI_ROLE_MAIN:
      if (__real_main) return __real_main(argc, argv, envp);
      if (!DMI_main) refuse(program, "the program defines neither main nor DMI_main");
      DMI_main(argc, argv);
      return 0;
    case DMI_ROLE_THREAD:
      if (!DMI_thread) refuse(program, "the program defines no DMI_thread");
      result = DMI_thread(role.arg);
      break;
    case DMI_ROLE_SCALEUNIT:
      if (!DMI_scaleunit) refuse(program, "the program defines no DMI_scaleunit");
      result = dmi_run_scaleunit(role.rank, role.count, role.arg);
      break;
    case DMI_ROLE_FUNCTION:
      serve_functions();
      return 0;
    default:
      refuse(program, "the host asks for a role this libdmi does not know: build the program with its dmicc");
  }
  DMI_GATE->call(DMI_G_RESULT, &result);
  return 0; /* the start code calls exit: stdio is flushed, atexit handlers run */
}
