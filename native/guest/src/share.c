/* Memory shared between threads of one host, by name: loads and stores, no calls, while both stay. */
#include "guest.h"

static int32_t share(int64_t call, struct dmi_gate_share *args) { return dmi_result(DMI_GATE->call(call, args)); }

int32_t DMI_export(const char *name, void *ptr, int64_t size) {
  if (name == NULL) return dmi_fail(EFAULT, "DMI_export needs a name");
  return share(DMI_G_EXPORT, &(struct dmi_gate_share){.name = name, .ptr = ptr, .size = size});
}

int32_t DMI_unexport(const char *name) {
  if (name == NULL) return dmi_fail(EFAULT, "DMI_unexport needs a name");
  return share(DMI_G_WITHDRAW, &(struct dmi_gate_share){.name = name});
}

int32_t DMI_import(DMI_thread_t thread, const char *name, void **ptr, int64_t *size) {
  if (name == NULL || ptr == NULL) return dmi_fail(EFAULT, "DMI_import needs a name and a place for the pointer");
  struct dmi_gate_share args = {.name = name, .thread = {.dmi_id = thread.dmi_id, .thread_id = thread.thread_id}};
  if (!share(DMI_G_IMPORT, &args)) return FALSE;
  *ptr = args.ptr;
  if (size) *size = args.size;
  return TRUE;
}

int32_t DMI_unimport(void *ptr) { return share(DMI_G_GIVE_BACK, &(struct dmi_gate_share){.ptr = ptr}); }
