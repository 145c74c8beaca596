/* Membership: who is in the job. */
#include "guest.h"

static void to_node(DMI_node_t *to, const struct dmi_gate_node *from) {
  memset(to, 0, sizeof *to);
  to->state = from->state;
  to->dmi_id = from->dmi_id;
  to->core = from->core;
  to->memory = from->memory;
  memcpy(to->hostname, from->hostname, sizeof to->hostname);
  to->hostname[sizeof to->hostname - 1] = 0;
}

int32_t DMI_rank(int32_t *dmi_id) {
  if (dmi_id == NULL) return dmi_fail(EFAULT, "DMI_rank needs a place for its answer");
  struct dmi_gate_nodes nodes = {0};
  if (!dmi_result(DMI_GATE->call(DMI_G_NODES, &nodes))) return FALSE;
  *dmi_id = nodes.rank;
  return TRUE;
}

int32_t dmi_all_nodes(DMI_node_t **result) {
  int32_t capacity = 16;
  for (;;) { /* until they all fit: some may join meanwhile */
    struct dmi_gate_node *array = malloc((size_t)capacity * sizeof *array);
    struct dmi_gate_nodes nodes = {.array = array, .capacity = capacity};
    int64_t n = array ? DMI_GATE->call(DMI_G_NODES, &nodes) : -ENOMEM;
    if (n < 0) {
      free(array);
      dmi_fail_host(n);
      return -1;
    }
    if (n <= capacity) {
      *result = malloc((size_t)(n + 1) * sizeof **result);
      if (*result)
        for (int64_t i = 0; i < n; i++) to_node(&(*result)[i], &array[i]);
      free(array);
      if (*result) return (int32_t)n;
      dmi_fail(ENOMEM, "no memory for a list of %lld nodes", (long long)n);
      return -1;
    }
    free(array);
    capacity = (int32_t)n + 16;
  }
}

int32_t DMI_nodes(DMI_node_t *array, int32_t *n, int32_t capacity) {
  if (n == NULL || capacity < 0 || (array == NULL && capacity > 0))
    return dmi_fail(EINVAL, "DMI_nodes needs an array, its capacity and a place for the count");
  DMI_node_t *all;
  int32_t count = dmi_all_nodes(&all);
  if (count < 0) return FALSE;
  *n = MIN(count, capacity);
  if (*n > 0) memcpy(array, all, (size_t)*n * sizeof *array);
  free(all);
  return TRUE;
}
