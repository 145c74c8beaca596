/* hello: starts threads wherever there is room, and prints where each runs.
 *
 *   dmi run --local 2 -n 8 -- examples/hello/hello
 *
 * DMI_THREADS (dmi run -n N) is the number of threads; default 4.
 */
#include "dmi_api.h"

/* Which machine this thread is on at the moment; it may be another one a moment later. */
static void say(const char *what, int64_t number) {
  DMI_node_t nodes[64];
  int32_t here = 0, n = 0;
  catch(DMI_rank(&here));
  catch(DMI_nodes(nodes, &n, 64));
  const char *host = "?";
  for (int32_t i = 0; i < n; i++)
    if (nodes[i].dmi_id == here) host = nodes[i].hostname;
  DMI_thread_t self;
  catch(DMI_self(&self));
  outn("%s %lld: thread %d.%d on process %d (%s)", what, (long long)number, self.dmi_id, self.thread_id, here, host);
}

int64_t DMI_thread(int64_t number) {
  say("hello from", number);
  return number * number; /* what DMI_join gives */
}

void DMI_main(int argc, char **argv) {
  (void)argc, (void)argv;
  const char *setting = getenv("DMI_THREADS");
  int32_t n = setting ? atoi(setting) : 4;
  if (n < 1) n = 1;
  say("main", 0);
  DMI_thread_t *threads = my_malloc((int64_t)n * (int64_t)sizeof *threads);
  for (int32_t i = 0; i < n; i++) catch(DMI_create(&threads[i], DMI_AUTOMATIC, i, 0, NULL));
  int64_t sum = 0;
  for (int32_t i = 0; i < n; i++) {
    int64_t square;
    catch(DMI_join(threads[i], &square, NULL));
    sum += square;
  }
  outn("sum of squares: %lld", (long long)sum);
  my_free(threads);
}
