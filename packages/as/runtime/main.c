/* The entry points of a TypeScript program: each instance makes its linear memory and runs what it was started for. */
#include "dmi_api.h"
#undef catch
#undef throw
#undef error

#include "program.h"
#include "thread_arg.h"

int dmi_ts_argc;
char **dmi_ts_argv;

static void begin(void *frame) {
  dmi_ts_memory_init(frame);
  dmi_ts_instantiate();
}

void DMI_main(int argc, char **argv) {
  dmi_ts_argc = argc;
  dmi_ts_argv = argv;
  begin(__builtin_frame_address(0));
  const int32_t status = dmi_ts_main();
  if (status != 0) exit(status);
}

int64_t DMI_thread(int64_t word) {
  begin(__builtin_frame_address(0));
  int64_t arg;
  const uint32_t function = dmi_ts_unpack(word, &arg);
  return function ? dmi_ts_call(function - 1, arg) : dmi_ts_thread(arg);
}

int32_t DMI_scaleunit(int rank, int n, int64_t arg) {
  begin(__builtin_frame_address(0));
  return dmi_ts_scaleunit(rank, n, arg);
}
