/* signals ROUNDS GO: everything that a program does with signals of its own, ROUNDS times; one line for each kind, "KIND ok" or what was
 * not as it should be. The same as on the kernel itself. In the middle it waits for the file GO, in a handler on its alternate stack. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static int wrong, round_number;
#define HOLDS(condition) \
  do { errno = 0; if (!(condition)) printf("not in round %d: %s (%s)\n", round_number, #condition, strerror(errno)), wrong = 1; } while (0)
#define GIVES(call, error) HOLDS((call) == -1 && errno == (error))

static void went_on(const char *where) { printf("not in round %d: %s\n", round_number, where), wrong = 1; }
static void catch(int signal, void (*handler)(int, siginfo_t *, void *), int flags) {
  struct sigaction a = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
  HOLDS(sigaction(signal, &a, NULL) == 0);
}
static void forget(int signal_number) { HOLDS(signal(signal_number, SIG_DFL) != SIG_ERR); }
static sigset_t set_of(int a, int b) {
  sigset_t s;
  sigemptyset(&s);
  if (a) sigaddset(&s, a);
  if (b) sigaddset(&s, b);
  return s;
}
static int blocked(int signal) {
  sigset_t now;
  HOLDS(sigprocmask(SIG_SETMASK, NULL, &now) == 0);
  return sigismember(&now, signal);
}

/* What handlers have seen. */
static volatile int calls, order[8], values[8];
static volatile siginfo_t last;
static char *stack_start;
static size_t stack_size;
static volatile int on_stack;
static void note(int signal, siginfo_t *info, void *context) {
  (void)context;
  if (calls < 8) order[calls] = signal, values[calls] = info->si_value.sival_int;
  calls++;
  memcpy((void *)&last, info, sizeof last);
  volatile char here = 0;
  on_stack = stack_start && &here >= stack_start && &here < stack_start + stack_size;
}

static void actions(void) {
  struct sigaction a = {.sa_sigaction = note, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART}, old;
  sigaddset(&a.sa_mask, SIGUSR2), sigaddset(&a.sa_mask, SIGKILL);
  HOLDS(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == SIG_DFL);
  HOLDS(sigaction(SIGUSR1, &a, &old) == 0 && old.sa_handler == SIG_DFL);
  HOLDS(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_sigaction == note && (old.sa_flags & ~0x04000000) == a.sa_flags);
  HOLDS(sigismember(&old.sa_mask, SIGUSR2) == 1 && sigismember(&old.sa_mask, SIGKILL) == 0);
  HOLDS(signal(SIGUSR1, SIG_IGN) == (void (*)(int))note && signal(SIGUSR1, SIG_DFL) == SIG_IGN);
  char raw[32] = {0};
  GIVES(syscall(SYS_rt_sigaction, 0, raw, NULL, 8), EINVAL);
  GIVES(syscall(SYS_rt_sigaction, 65, raw, NULL, 8), EINVAL);
  GIVES(syscall(SYS_rt_sigaction, SIGKILL, raw, NULL, 8), EINVAL);
  GIVES(syscall(SYS_rt_sigaction, SIGSTOP, raw, NULL, 8), EINVAL);
  GIVES(syscall(SYS_rt_sigaction, SIGUSR1, raw, NULL, 4), EINVAL);
  GIVES(syscall(SYS_rt_sigaction, SIGUSR1, (void *)8, NULL, 8), EFAULT);
  HOLDS(syscall(SYS_rt_sigaction, SIGKILL, NULL, raw, 8) == 0);
}

static void sending(void) {
  catch(SIGUSR1, note, 0);
  calls = 0;
  HOLDS(raise(SIGUSR1) == 0 && calls == 1 && order[0] == SIGUSR1 && last.si_code == SI_TKILL && last.si_pid == getpid());
  HOLDS(kill(getpid(), SIGUSR1) == 0 && calls == 2 && last.si_code == SI_USER && last.si_uid == getuid());
  HOLDS(syscall(SYS_tkill, gettid(), SIGUSR1) == 0 && calls == 3);
  for (int i = 0; i < 50; i++) HOLDS(raise(SIGUSR1) == 0 && calls == 4 + i); /* its place in the program is hot by then */
  HOLDS(kill(getpid(), 0) == 0 && kill(0, 0) == 0);
  GIVES(kill(getpid(), 65), EINVAL);
  GIVES(kill(getpid(), -1), EINVAL);
  GIVES(kill(0x3fffffff, 0), ESRCH);
  GIVES(kill(0x3fffffff, SIGUSR1), ESRCH);
  GIVES(syscall(SYS_tgkill, -1, gettid(), SIGUSR1), EINVAL);
  HOLDS(signal(SIGUSR1, SIG_IGN) != SIG_ERR && raise(SIGUSR1) == 0);
  forget(SIGUSR1);
  HOLDS(raise(SIGCHLD) == 0 && raise(SIGURG) == 0 && raise(SIGWINCH) == 0 && raise(SIGCONT) == 0); /* ignored by default */
  HOLDS(calls == 53);
  catch(SIGRTMIN + 1, note, 0);
  HOLDS(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 77}) == 0 && calls == 54 && last.si_code == SI_QUEUE && last.si_value.sival_int == 77);
  forget(SIGRTMIN + 1);
}

static void masks(void) {
  sigset_t both = set_of(SIGUSR1, SIGUSR2), real = set_of(SIGRTMIN, SIGRTMIN + 2), got, old;
  catch(SIGUSR1, note, 0), catch(SIGUSR2, note, 0), catch(SIGRTMIN, note, 0), catch(SIGRTMIN + 2, note, 0);
  HOLDS(sigprocmask(SIG_BLOCK, &both, &old) == 0 && sigismember(&old, SIGUSR1) == 0 && blocked(SIGUSR1) && blocked(SIGUSR2));
  calls = 0;
  for (int i = 0; i < 3; i++) HOLDS(raise(SIGUSR1) == 0 && raise(SIGUSR2) == 0);
  HOLDS(calls == 0 && sigpending(&got) == 0 && sigismember(&got, SIGUSR1) && sigismember(&got, SIGUSR2) && !sigismember(&got, SIGHUP));
  HOLDS(sigprocmask(SIG_SETMASK, &old, NULL) == 0 && calls == 2 && order[0] == SIGUSR2 && order[1] == SIGUSR1); /* one interrupts the other */
  HOLDS(sigpending(&got) == 0 && sigisemptyset(&got) && !blocked(SIGUSR1));
  HOLDS(sigprocmask(SIG_BLOCK, &real, NULL) == 0);
  calls = 0;
  for (int i = 0; i < 3; i++) HOLDS(sigqueue(getpid(), SIGRTMIN + 2, (union sigval){.sival_int = i}) == 0);
  HOLDS(sigprocmask(SIG_UNBLOCK, &real, NULL) == 0 && calls == 3); /* each counts */
  HOLDS(order[0] == SIGRTMIN + 2 && values[0] == 0 && values[1] == 1 && values[2] == 2);
  /* Blocked, then ignored: forgotten. Ignored while blocked: not, until it is unblocked. */
  HOLDS(sigprocmask(SIG_BLOCK, &both, NULL) == 0 && raise(SIGUSR1) == 0 && signal(SIGUSR1, SIG_IGN) != SIG_ERR);
  HOLDS(sigpending(&got) == 0 && sigisemptyset(&got) && raise(SIGUSR1) == 0 && sigpending(&got) == 0 && sigismember(&got, SIGUSR1));
  HOLDS(sigprocmask(SIG_UNBLOCK, &both, NULL) == 0 && calls == 3);
  GIVES(sigprocmask(17, &both, NULL), EINVAL);
  sigset_t all;
  sigfillset(&all);
  HOLDS(sigprocmask(SIG_SETMASK, &all, NULL) == 0 && !blocked(SIGKILL) && !blocked(SIGSTOP) && blocked(SIGTERM));
  HOLDS(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
  forget(SIGUSR1), forget(SIGUSR2), forget(SIGRTMIN), forget(SIGRTMIN + 2);
}

static volatile int depth, deepest, most, other_blocked;
static void again(int signal, siginfo_t *info, void *context) {
  note(signal, info, context);
  other_blocked = blocked(SIGUSR2);
  if (++depth > deepest) deepest = depth;
  if (calls < most) raise(signal);
  depth--;
}
static void flags(void) {
  catch(SIGUSR1, again, 0);
  calls = deepest = 0, most = 3;
  HOLDS(raise(SIGUSR1) == 0 && calls == 3 && deepest == 1 && !other_blocked);
  catch(SIGUSR1, again, SA_NODEFER);
  calls = deepest = 0;
  HOLDS(raise(SIGUSR1) == 0 && calls == 3 && deepest == 3);
  struct sigaction a = {.sa_sigaction = again, .sa_flags = SA_SIGINFO}, old;
  sigaddset(&a.sa_mask, SIGUSR2);
  calls = 0, most = 1;
  HOLDS(sigaction(SIGUSR1, &a, NULL) == 0 && raise(SIGUSR1) == 0 && other_blocked && !blocked(SIGUSR2) && !blocked(SIGUSR1));
  catch(SIGUSR1, note, SA_RESETHAND);
  HOLDS(raise(SIGUSR1) == 0 && calls == 2 && sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == SIG_DFL);
}

static sigjmp_buf out;
static void leave(int signal, siginfo_t *info, void *context) {
  note(signal, info, context);
  siglongjmp(out, 1);
}
static const char *go;
static void wait_for_go(int signal, siginfo_t *info, void *context) {
  note(signal, info, context);
  stack_t now;
  HOLDS(sigaltstack(NULL, &now) == 0 && now.ss_flags == SS_ONSTACK && now.ss_sp == stack_start);
  GIVES(sigaltstack(&now, NULL), EPERM);
  while (go && access(go, F_OK) != 0) {}
}
__attribute__((noinline)) static int overflow(int n) {
  volatile char frame[512];
  frame[n % 512] = (char)n;
  return overflow(n + 1) + frame[(n + 1) % 512];
}
static void stacks(void) {
  stack_t s = {.ss_sp = stack_start, .ss_size = stack_size}, small = {.ss_sp = stack_start, .ss_size = 1024}, none = {.ss_flags = SS_DISABLE}, now;
  HOLDS(sigaltstack(NULL, &now) == 0 && now.ss_flags == SS_DISABLE);
  GIVES(sigaltstack(&small, NULL), ENOMEM);
  GIVES(sigaltstack(&(stack_t){.ss_sp = stack_start, .ss_size = stack_size, .ss_flags = 8}, NULL), EINVAL);
  HOLDS(sigaltstack(&s, NULL) == 0 && sigaltstack(NULL, &now) == 0 && now.ss_flags == 0 && now.ss_sp == stack_start && now.ss_size == stack_size);
  catch(SIGUSR1, note, 0);
  HOLDS(raise(SIGUSR1) == 0 && !on_stack);
  catch(SIGUSR1, wait_for_go, SA_ONSTACK);
  HOLDS(raise(SIGUSR1) == 0 && on_stack);
  catch(SIGUSR1, again, SA_ONSTACK | SA_NODEFER);
  calls = deepest = 0, most = 3;
  HOLDS(raise(SIGUSR1) == 0 && calls == 3 && deepest == 3 && on_stack);
  catch(SIGSEGV, leave, SA_ONSTACK);
  if (sigsetjmp(out, 1) == 0) overflow(0), went_on("got past an endless recursion");
  HOLDS(on_stack && last.si_signo == SIGSEGV && !blocked(SIGSEGV));
  HOLDS(sigaltstack(&none, &now) == 0 && now.ss_flags == 0 && sigaltstack(NULL, &now) == 0 && now.ss_flags == SS_DISABLE);
  forget(SIGUSR1), forget(SIGSEGV);
}

/* Handlers of faults that put right what was wrong, in memory and in registers. */
static char *page;
static void make_writable(int signal, siginfo_t *info, void *context) {
  note(signal, info, context);
  HOLDS(mprotect(page, 4096, PROT_READ | PROT_WRITE) == 0);
}
static void skip_instruction(int signal, siginfo_t *info, void *context) { /* a divisor in RCX, or an instruction of two bytes */
  ucontext_t *c = context;
  note(signal, info, context);
  if (signal == SIGFPE) c->uc_mcontext.gregs[REG_RCX] = 6;
  else if (signal == SIGILL) c->uc_mcontext.gregs[REG_RIP] += 2, c->uc_mcontext.gregs[REG_RAX] = 4711;
  if (signal == SIGILL) {
    uint32_t *xmm7 = c->uc_mcontext.fpregs->_xmm[7].element;
    HOLDS(xmm7[0] == 0x1234567 && xmm7[3] == 0x89abcde);
    xmm7[1] = 42;
  }
}
static void return_to_caller(int signal, siginfo_t *info, void *context) { /* from a call to nowhere */
  ucontext_t *c = context;
  note(signal, info, context);
  uint64_t *sp = (uint64_t *)c->uc_mcontext.gregs[REG_RSP];
  c->uc_mcontext.gregs[REG_RIP] = (greg_t)*sp;
  c->uc_mcontext.gregs[REG_RSP] += 8;
  c->uc_mcontext.gregs[REG_RAX] = 99;
}
static void faults(const char *program) {
  catch(SIGSEGV, make_writable, 0);
  page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  HOLDS(page != MAP_FAILED);
  page[17] = 5;
  HOLDS(page[17] == 5 && last.si_signo == SIGSEGV && last.si_code == SEGV_ACCERR && last.si_addr == page + 17);
  HOLDS(munmap(page, 4096) == 0);
  catch(SIGSEGV, leave, 0);
  int *volatile nowhere = (int *)0x18;
  if (sigsetjmp(out, 1) == 0) *nowhere = 1, went_on("wrote to nowhere");
  HOLDS(last.si_code == SEGV_MAPERR && last.si_addr == (void *)0x18);
  catch(SIGSEGV, return_to_caller, 0);
  int (*volatile call)(void) = NULL;
  HOLDS(call() == 99 && last.si_addr == NULL);
  forget(SIGSEGV);

  catch(SIGFPE, skip_instruction, 0);
  uint64_t quotient = 42, rest = 0;
  __asm__ volatile("xor %%ecx, %%ecx\n\tdivq %%rcx" : "+a"(quotient), "+d"(rest) : : "rcx", "cc");
  HOLDS(quotient == 7 && rest == 0 && last.si_code == FPE_INTDIV);
  catch(SIGFPE, leave, 0);
  volatile double zero = 0, x = 1;
  volatile long double long_zero = 0, y = 1;
  if (sigsetjmp(out, 1) == 0) feenableexcept(FE_DIVBYZERO), x = x / zero, went_on("divided by zero");
  HOLDS(last.si_code == FPE_FLTDIV);
  feclearexcept(FE_ALL_EXCEPT);
  if (sigsetjmp(out, 1) == 0) feenableexcept(FE_DIVBYZERO), y = y / long_zero, y = y + 1, went_on("divided by zero");
  HOLDS(last.si_code == FPE_FLTDIV);
  fesetenv(FE_DFL_ENV);
  HOLDS(x == 1 && y == 1);
  forget(SIGFPE);

  catch(SIGILL, skip_instruction, 0);
  uint32_t vector[4] = {0x1234567, 0, 0, 0x89abcde};
  uint64_t a = 1, kept = 77;
  __asm__ volatile("movdqu %2, %%xmm7\n\tmov %3, %%r11\n\tud2\n\tmovdqu %%xmm7, %2\n\tmov %%r11, %1"
                   : "+a"(a), "=&r"(kept), "+m"(vector) : "r"((uint64_t)55) : "xmm7", "r11");
  HOLDS(a == 4711 && kept == 55 && vector[0] == 0x1234567 && vector[1] == 42 && vector[3] == 0x89abcde && last.si_code == ILL_ILLOPN);
  forget(SIGILL);
  catch(SIGTRAP, note, 0);
  calls = 0;
  __asm__ volatile("int3");
  HOLDS(calls == 1 && last.si_signo == SIGTRAP);
  forget(SIGTRAP);

  catch(SIGBUS, leave, 0);
  int fd = open(program, O_RDONLY);
  char *beyond = mmap(NULL, 1 << 26, PROT_READ, MAP_PRIVATE, fd, 0);
  HOLDS(fd >= 0 && beyond != MAP_FAILED);
  if (sigsetjmp(out, 1) == 0) HOLDS(*(volatile char *)(beyond + (1 << 26) - 1) && !"read beyond the end of a file");
  HOLDS(last.si_code == BUS_ADRERR && last.si_addr == beyond + (1 << 26) - 1);
  HOLDS(munmap(beyond, 1 << 26) == 0 && close(fd) == 0);
  forget(SIGBUS);
}

/* A signal at a system call: whatever the handler does to them, vector registers and the others are what they were. */
static void spoil(int signal, siginfo_t *info, void *context) {
  note(signal, info, context);
  __asm__ volatile("pxor %%xmm0, %%xmm0\n\tpxor %%xmm1, %%xmm1\n\tpxor %%xmm15, %%xmm15\n\txor %%r8d, %%r8d\n\txor %%r10d, %%r10d"
                   : : : "xmm0", "xmm1", "xmm15", "r8", "r10");
}
static void registers(void) {
  catch(SIGUSR1, spoil, 0);
  for (int i = 0; i < 40; i++) {
    const uint64_t in[6] = {0, (uint64_t)getpid(), SIGUSR1, (uint64_t)i, 0x4444, 0x5555};
    uint64_t got[10] = {0};
    __asm__ volatile(
        "mov 8(%0), %%rdi\n\tmov 16(%0), %%rsi\n\tmov 24(%0), %%r8\n\tmov 32(%0), %%r10\n\tmovdqu 16(%0), %%xmm0\n\t"
        "movdqu 32(%0), %%xmm15\n\tmovq $4321, -40(%%rsp)\n\tmov $62, %%eax\n\tsyscall\n\tmov %%rax, (%1)\n\tmov %%rdi, 8(%1)\n\tmov %%rsi, 16(%1)\n\t"
        "mov %%r8, 24(%1)\n\tmov %%r10, 32(%1)\n\tmov -40(%%rsp), %%rcx\n\tmov %%rcx, 40(%1)\n\tmovdqu %%xmm0, 48(%1)\n\tmovdqu %%xmm15, 64(%1)"
        : : "b"(in), "d"(got) : "rax", "rdi", "rsi", "r8", "r10", "rcx", "r11", "xmm0", "xmm15", "memory");
    HOLDS(got[0] == 0 && memcmp(got + 1, in + 1, 32) == 0 && got[5] == 4321 && memcmp(got + 6, in + 2, 32) == 0);
  }
  forget(SIGUSR1);
}

static void waiting(void) {
  sigset_t both = set_of(SIGUSR1, SIGUSR2), none = set_of(0, 0), old;
  siginfo_t info;
  catch(SIGUSR1, note, 0), catch(SIGUSR2, note, 0);
  HOLDS(sigprocmask(SIG_BLOCK, &both, &old) == 0 && kill(getpid(), SIGUSR1) == 0);
  calls = 0;
  GIVES(sigsuspend(&none), EINTR);
  HOLDS(calls == 1 && blocked(SIGUSR1) && blocked(SIGUSR2));
  HOLDS(sigqueue(getpid(), SIGUSR2, (union sigval){.sival_int = 5}) == 0 && sigwaitinfo(&both, &info) == SIGUSR2 && info.si_value.sival_int == 5);
  GIVES(sigtimedwait(&both, &info, &(struct timespec){.tv_nsec = 2000000}), EAGAIN);
  GIVES(sigtimedwait(&both, &info, &(struct timespec){0}), EAGAIN);
  GIVES(sigtimedwait(&both, &info, &(struct timespec){.tv_nsec = -1}), EINVAL);
  int got = 0;
  HOLDS(raise(SIGUSR1) == 0 && sigwait(&both, &got) == 0 && got == SIGUSR1 && calls == 1);
  HOLDS(sigprocmask(SIG_SETMASK, &old, NULL) == 0 && calls == 1);
  forget(SIGUSR1), forget(SIGUSR2);
}

static void jumping(void) {
  catch(SIGABRT, leave, 0);
  calls = 0;
  if (sigsetjmp(out, 1) == 0) abort();
  HOLDS(calls == 1 && last.si_signo == SIGABRT && !blocked(SIGABRT));
  forget(SIGABRT);
  catch(SIGUSR1, leave, 0);
  for (volatile int i = 0; i < 3; i++)
    if (sigsetjmp(out, i != 2) == 0) raise(SIGUSR1);
  HOLDS(calls == 4 && blocked(SIGUSR1)); /* the last time the mask was not kept */
  sigset_t none = set_of(0, 0);
  HOLDS(sigprocmask(SIG_SETMASK, &none, NULL) == 0);
  forget(SIGUSR1);
}

static void give_up(int signal, siginfo_t *info, void *context) { /* as programs do that say something last */
  note(signal, info, context);
  abort();
}
__attribute__((noinline)) static int dies(const char *how) {
  printf("before\n"), fflush(stdout);
  sigset_t s = set_of(SIGSEGV, SIGTERM);
  int *volatile nowhere = (int *)0x18;
  if (!strcmp(how, "blocked")) catch(SIGSEGV, note, 0), sigprocmask(SIG_BLOCK, &s, NULL), *nowhere = 1;
  if (!strcmp(how, "ignored")) signal(SIGSEGV, SIG_IGN), *nowhere = 1;
  if (!strcmp(how, "overflow")) catch(SIGSEGV, note, 0), overflow(0);
  if (!strcmp(how, "unblocked")) sigprocmask(SIG_BLOCK, &s, NULL), raise(SIGTERM), printf("pending\n"), fflush(stdout), sigprocmask(SIG_UNBLOCK, &s, NULL);
  if (!strcmp(how, "twice")) catch(SIGUSR1, note, SA_RESETHAND), raise(SIGUSR1), raise(SIGUSR1);
  if (!strcmp(how, "handled")) catch(SIGSEGV, give_up, 0), *nowhere = 1;
  if (!strcmp(how, "frame")) { /* returns from a handler that never was, to where nothing is */
    static char nothing[1 << 16] __attribute__((aligned(64)));
    __asm__ volatile("mov %0, %%rsp\n\tmov $15, %%eax\n\tsyscall" : : "r"(nothing + (1 << 15)) : "memory");
  }
  if (!strcmp(how, "stack")) __asm__ volatile("mov $0x40, %%esp\n\tmov $15, %%eax\n\tsyscall" : : : "memory");
  return 3;
}

int main(int argc, char **argv) {
  if (argc == 2) return dies(argv[1]);
  if (argc < 3) return 99;
  const int rounds = atoi(argv[1]);
  stack_size = (size_t)sysconf(_SC_SIGSTKSZ) + 16384;
  stack_start = malloc(stack_size);
  static const char *const names[] = {"actions", "sending", "masks", "flags", "stacks", "faults", "registers", "waiting", "jumping"};
  int failed[9] = {0};
  for (round_number = 0; round_number < rounds; round_number++) {
    go = round_number == rounds / 2 ? argv[2] : NULL;
    for (int i = 0; i < 9; i++) {
      switch (i) {
        case 0: actions(); break;
        case 1: sending(); break;
        case 2: masks(); break;
        case 3: flags(); break;
        case 4: stacks(); break;
        case 5: faults(argv[0]); break;
        case 6: registers(); break;
        case 7: waiting(); break;
        default: jumping(); break;
      }
      failed[i] |= wrong, wrong = 0;
    }
  }
  for (int i = 0; i < 9; i++) printf("%s %s\n", names[i], failed[i] ? "NOT" : "ok");
  return 11;
}
