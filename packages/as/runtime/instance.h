/* The end of the program's C source: the one instance, and what the runtime calls in it. INSTANTIATE is defined by the driver, for
 * wasm2c's instantiation takes one argument per imported module. */
#include "program.h"

static Z_job_instance_t instance_of_program;

void dmi_ts_instantiate(void) {
  Z_job_init_module();
  INSTANTIATE(&instance_of_program);
}
int32_t dmi_ts_main(void) { return (int32_t)Z_jobZ_dmi_main(&instance_of_program); }
int64_t dmi_ts_thread(int64_t arg) { return (int64_t)Z_jobZ_dmi_thread(&instance_of_program, (u64)arg); }
int32_t dmi_ts_scaleunit(int32_t rank, int32_t n, int64_t arg) {
  return (int32_t)Z_jobZ_dmi_scaleunit(&instance_of_program, (u32)rank, (u32)n, (u64)arg);
}
int64_t dmi_ts_call(uint32_t function, int64_t arg) { return (int64_t)Z_jobZ_dmi_call(&instance_of_program, function, (u64)arg); }
void dmi_ts_mark(uint32_t object) { Z_jobZ_dmi_mark(&instance_of_program, object); }
