/* afterwards KIND N [FILE]: N threads, one after the other, each of which looks for what an earlier one has left, and then leaves as much as
 * it can. Prints how many regions there were, and what was found. KIND: "plain", or "protects": each changes the protection
 * of its own code, "unmaps": each unmaps a part of its data. Waits for FILE
 * before it ends. With a DMI_RANK of its own it starts no threads. */
#define _GNU_SOURCE
#include "dmi_api.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { FILLED = 1 << 20, STACK = 200 << 10 };
static const uint64_t HALF = 0x5ec2e7005ec2e700; /* the secret is twice this plus 1, so that it is nowhere but where it was put */

static uint64_t data[600] = {17};
static uint64_t bss[2000];
static _Thread_local uint64_t local = 23;
static int constructed;
static uint64_t *constructed_heap;
__attribute__((constructor)) static void construct(void) {
  constructed++;
  constructed_heap = calloc(4, 8);
}
__attribute__((destructor)) static void destroy(void) { bss[1] = 2 * HALF + 1; }

static int64_t faults;
#define EXPECT(condition)                                                \
  do {                                                                   \
    if (!(condition)) printf("found: %s (errno %d)\n", #condition, errno), faults++; \
  } while (0)

/* Everything that this thread may write, as the kernel has it, from its program to its stack. */
static int secrets(void) {
  int fd = open("/proc/self/maps", O_RDONLY), found = 0;
  static char text[1 << 20];
  ssize_t size = 0;
  for (ssize_t n; (n = read(fd, text + size, sizeof text - 1 - (size_t)size)) > 0;) size += n;
  close(fd);
  text[size] = 0;
  uint64_t low = (uint64_t)&bss & ~((1ull << 28) - 1), high = low + (1ull << 28);
  uint64_t half = *(volatile const uint64_t *)&HALF; /* the secret itself must not lie on the stack of who looks for it */
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
    uint64_t from, to;
    char prot[5];
    if (sscanf(line, "%lx-%lx %4s", &from, &to, prot) != 3 || from < low || to > high || prot[0] != 'r' || prot[1] != 'w') continue;
    for (uint64_t a = from; a < to; a += 8) found += *(volatile uint64_t *)a - half == half + 1;
  }
  return found;
}

static void fill(uint64_t *at, size_t bytes) {
  for (size_t i = 0; i < bytes / 8; i++) ((volatile uint64_t *)at)[i] = 2 * *(volatile const uint64_t *)&HALF + 1;
}
static void soil_stack(void) {
  uint64_t deep[STACK / 8];
  fill(deep, sizeof deep);
}

int64_t DMI_thread(int64_t kind) {
  EXPECT(secrets() == 0);
  EXPECT(data[0] == 17 && data[1] == 0 && bss[0] == 0 && bss[1] == 0 && local == 23);
  EXPECT(constructed == 1 && constructed_heap[0] == 0);
  EXPECT(getenv("LEFT") == NULL && getenv("HOME") != NULL);
  char cwd[4096];
  EXPECT(getcwd(cwd, sizeof cwd) && strcmp(cwd, "/tmp") != 0);
  EXPECT(fcntl(3, F_GETFD) == -1);
  EXPECT(getpid() == syscall(SYS_gettid));
  sigset_t blocked;
  EXPECT(signal(SIGUSR1, SIG_IGN) == SIG_DFL && sigprocmask(SIG_SETMASK, NULL, &blocked) == 0 && sigisemptyset(&blocked));
  clockid_t clock;
  EXPECT(pthread_getcpuclockid(pthread_self(), &clock) == 0 && ~(clock >> 3) == getpid()); /* the C library's own idea of its number */
  fflush(stdout);

  void *heap = malloc(FILLED), *small = malloc(1000), *map = mmap(NULL, FILLED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  fill(heap, FILLED), fill(small, 1000), fill(map, FILLED);
  fill(data, sizeof data), fill(bss, sizeof bss), fill(&local, 8), fill(constructed_heap, 32);
  soil_stack();
  setenv("LEFT", "this", 1);
  sigfillset(&blocked);
  EXPECT(sigprocmask(SIG_SETMASK, &blocked, NULL) == 0 && raise(SIGTERM) == 0); /* pending for good */
  EXPECT(chdir("/tmp") == 0);
  EXPECT(open("/dev/null", O_RDWR) == 3);
  if (kind == 1) EXPECT(mprotect((void *)((uint64_t)&construct & ~4095ull), 4096, PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
  if (kind == 2) EXPECT(munmap((void *)(((uint64_t)&bss + 8191) & ~4095ull), 4096) == 0);
  int64_t here = (int64_t)(uint64_t)&data;
  return faults ? -faults : here;
}

void DMI_main(int argc, char **argv) {
  int kind = argc > 1 && !strcmp(argv[1], "protects") ? 1 : argc > 1 && !strcmp(argv[1], "unmaps") ? 2 : 0, n = argc > 2 ? atoi(argv[2]) : 10;
  if (strcmp(getenv("DMI_RANK"), "0") != 0) n = 0;
  int32_t here;
  DMI_rank(&here);
  int64_t seen[64];
  int regions = 0, bad = 0;
  for (int i = 0; i < n; i++) {
    DMI_thread_t t;
    int64_t result = -1;
    if (!DMI_create(&t, here, kind, 0, NULL) || !DMI_join(t, &result, NULL)) printf("%s\n", DMI_error());
    if (result < 0) bad++;
    int known = 0;
    for (int k = 0; k < regions; k++) known |= seen[k] == result;
    if (!known && regions < 64) seen[regions++] = result;
  }
  printf("regions %d bad %d\n", regions, bad);
  fflush(stdout);
  while (argc > 3 && access(argv[3], F_OK) != 0) DMI_yield();
}
