/* original THREADS [fail]: a program as they were written for the original: catch and throw, offsets into a structure in global memory,
 * initialisers written as values, nodes polled and welcomed by hand, pages taken over, random numbers, timers. */
#include "dmi_api.h"

typedef struct scaleunit_t {
  DMI_mutex_t mutex;
  DMI_cond_t cond;
  DMI_barrier_t barrier;
  DMI_spinlock_t spin;
  int64_t counter;
  int32_t pnum;
} scaleunit_t;
#define AT(member) ((int64_t)&((scaleunit_t *)addr)->member)

static int32_t work(int64_t addr, int64_t *result) {
  scaleunit_t s;
  DMI_local_barrier_t barrier;
  int32_t i, locked;
  int64_t value, one = 1, all;
  double x, most;

  throw(DMI_read(addr, sizeof(scaleunit_t), &s, DMI_INVALIDATE, NULL));
  throw(DMI_local_barrier_init(&barrier, AT(barrier)));
  for (i = 0; i < 20; i++) {
    throw(DMI_mutex_lock(AT(mutex)));
    throw(DMI_read(AT(counter), sizeof(int64_t), &value, DMI_INVALIDATE, NULL));
    value++;
    throw(DMI_write(AT(counter), sizeof(int64_t), &value, DMI_EXCLUSIVE, NULL));
    throw(DMI_mutex_unlock(AT(mutex)));
    throw(DMI_spin_trylock(AT(spin), &locked));
    if (locked) throw(DMI_spin_unlock(AT(spin)));
    DMI_yield();
  }
  throw(DMI_local_barrier_allreduce(&barrier, s.pnum, &one, &all, DMI_OP_SUM, DMI_TYPE_LONGLONG));
  mrand_init(10);
  x = mrand_01();
  throw(DMI_local_barrier_allreduce(&barrier, s.pnum, &x, &most, DMI_OP_MAX, DMI_TYPE_DOUBLE));
  if (most != x) error();
  throw(DMI_local_barrier_sync(&barrier, s.pnum));
  throw(DMI_local_barrier_destroy(&barrier));
  *result = all;
  return TRUE;
}

int64_t DMI_thread(int64_t addr) {
  int64_t result = -1;
  bind_to_cpu(0);
  catch(work(addr, &result));
  return result;
}

void DMI_main(int argc, char **argv) {
  DMI_node_t nodes[PROCNUM2 + 64], node;
  DMI_thread_t *threads;
  DMI_mutex_t mutex = DMI_MUTEX_INITIALIZER;
  DMI_cond_t cond = DMI_COND_INITIALIZER;
  int64_t addr, counter, result, sum = 0;
  int32_t node_num, thread_num, i;
  int8_t found = TRUE;

  if (argc < 2) {
    errn("usage: %s thread_num", argv[0]);
    exit(1);
  }
  thread_num = atoi(argv[1]);
  threads = my_malloc(thread_num * sizeof(DMI_thread_t));
  catch(DMI_mmap(&addr, sizeof(scaleunit_t), 1, NULL));
  catch(DMI_write(AT(mutex), sizeof(DMI_mutex_t), &mutex, DMI_EXCLUSIVE, NULL));
  catch(DMI_write(AT(cond), sizeof(DMI_cond_t), &cond, DMI_EXCLUSIVE, NULL));
  catch(DMI_barrier_init(AT(barrier)));
  catch(DMI_spin_init(AT(spin)));
  catch(DMI_write(AT(pnum), sizeof(int32_t), &thread_num, DMI_EXCLUSIVE, NULL));
  if (argc > 2) catch(DMI_write(addr + sizeof(scaleunit_t), 1, "x", DMI_PUT, NULL)); /* one byte too far */
  while (found) {
    catch(DMI_peek(&node, &found));
    if (found && node.state == DMI_OPEN) catch(DMI_welcome(node.dmi_id));
  }
  catch(DMI_nodes(nodes, &node_num, PROCNUM2 + 64));
  outn("%d nodes", node_num);
  time_lap(0);
  for (i = 0; i < thread_num; i++) catch(DMI_create(&threads[i], nodes[i % node_num].dmi_id, addr, 10 * 1024 * 1024, NULL));
  for (i = 0; i < thread_num; i++) {
    catch(DMI_join(threads[i], &result, NULL));
    sum += result;
  }
  catch(DMI_read(AT(counter), sizeof(int64_t), &counter, DMI_GET, NULL));
  out("sum %ld ", (long)sum);
  outn("counter %ld flags %d %s", (long)counter, _flag0 + _flag1 + _flag2 + _flag3, time_diff(0) > 0 ? "later" : "earlier");
  catch(DMI_spin_destroy(AT(spin)));
  catch(DMI_barrier_destroy(AT(barrier)));
  catch(DMI_cond_destroy(AT(cond)));
  catch(DMI_mutex_destroy(AT(mutex)));
  catch(DMI_munmap(addr, NULL));
  my_free(threads);
}
