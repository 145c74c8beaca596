/* hot ROUNDS GO: waits in the middle until GO exists; system calls from one site, again and again, with every register set and looked at afterwards, and the time of
 * day. Prints whether the site was rewritten, and "kept" if nothing was lost. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

extern const unsigned char site[];

struct state {
  uint64_t general[10]; /* rdi rsi rdx r8 r9 r10 r12 r13 r14 r15 */
  uint64_t vector[8];   /* ymm5, ymm15 */
  uint64_t zone[2];     /* the red zone's ends */
  double x87;
};

/* sched_yield: the thread rests on its stack while others of its worker run here. */
__attribute__((noinline)) static void call(struct state *s) {
  __asm__ volatile(
      "push %%rbx\n push %%rbp\n mov %0, %%rbx\n sub $512, %%rsp\n"
      "mov 0(%%rbx), %%rdi\n mov 8(%%rbx), %%rsi\n mov 16(%%rbx), %%rdx\n mov 24(%%rbx), %%r8\n mov 32(%%rbx), %%r9\n"
      "mov 40(%%rbx), %%r10\n mov 48(%%rbx), %%r12\n mov 56(%%rbx), %%r13\n mov 64(%%rbx), %%r14\n mov 72(%%rbx), %%r15\n"
      "vmovdqu 80(%%rbx), %%ymm5\n vmovdqu 112(%%rbx), %%ymm15\n fldl 160(%%rbx)\n"
      "mov 144(%%rbx), %%rbp\n mov %%rbp, -8(%%rsp)\n mov 152(%%rbx), %%rbp\n mov %%rbp, -128(%%rsp)\n"
      ".globl site\n"
      "site: mov $24, %%eax\n"
      "syscall\n"
      "cmp %%rbp, 152(%%rbx)\n jne 1f\n"
      "mov %%rdi, 0(%%rbx)\n mov %%rsi, 8(%%rbx)\n mov %%rdx, 16(%%rbx)\n mov %%r8, 24(%%rbx)\n mov %%r9, 32(%%rbx)\n"
      "mov %%r10, 40(%%rbx)\n mov %%r12, 48(%%rbx)\n mov %%r13, 56(%%rbx)\n mov %%r14, 64(%%rbx)\n mov %%r15, 72(%%rbx)\n"
      "vmovdqu %%ymm5, 80(%%rbx)\n vmovdqu %%ymm15, 112(%%rbx)\n fstpl 160(%%rbx)\n"
      "mov -8(%%rsp), %%rbp\n mov %%rbp, 144(%%rbx)\n mov -128(%%rsp), %%rbp\n mov %%rbp, 152(%%rbx)\n vzeroupper\n"
      "1: add $512, %%rsp\n pop %%rbp\n pop %%rbx\n"
      :
      : "r"(s)
      : "rax", "rcx", "r11", "rdi", "rsi", "rdx", "r8", "r9", "r10", "r12", "r13", "r14", "r15", "memory", "cc", "xmm5", "xmm15", "st");
}

int main(int argc, char **argv) {
  long rounds = argc > 1 ? atol(argv[1]) : 1000;
  const char *rank = getenv("DMI_RANK");
  uint64_t seed = 0x9e3779b97f4a7c15u * (rank ? strtoull(rank, NULL, 10) + 1 : 1);
  struct timespec before, now;
  clock_gettime(CLOCK_MONOTONIC, &before);
  for (long i = 0; i < rounds; i++) {
    if (argc > 2 && i == rounds - 1 && access(argv[2], F_OK) != 0) i--; /* goes on until then */
    struct state s, was;
    uint64_t *words = (uint64_t *)&s;
    for (size_t k = 0; k < offsetof(struct state, x87) / 8; k++) words[k] = seed = seed * 6364136223846793005u + 1442695040888963407u;
    s.x87 = (double)(seed >> 40);
    was = s;
    call(&s);
    if (memcmp(&s, &was, sizeof s) != 0) {
      printf("round %ld lost something\n", i);
      return 1;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    struct timeval day;
    if (gettimeofday(&day, NULL) != 0 || day.tv_sec < 1700000000 || time(NULL) + 1 < day.tv_sec ||
        now.tv_sec < before.tv_sec || (now.tv_sec == before.tv_sec && now.tv_nsec < before.tv_nsec)) {
      printf("round %ld: time runs backwards\n", i);
      return 1;
    }
    before = now;
  }
  printf("%s kept\n", site[0] == 0xe9 ? "rewritten" : "as it was");
  return 0;
}
