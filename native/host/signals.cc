// The handlers run on the guest's own stack (SIGSYS, preemption) with the guest's FS base, or on the worker's alternate
// stack (faults). They do nothing but switch away: no thread-local storage, no stack protector, no library calls.
#include "signals.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <atomic>
#include <thread>

#include "layout.h"
#include "platform.h"
#include "scheduler.h"
#include "signal_frames.h"

extern "C" char __executable_start, etext, dmi_zero_page, dmi_zero_page_unreadable;

namespace dmi::host {
namespace {

Worker* worker_here() { return static_cast<Worker*>(current_worker()); }

// The frame remembers the alternate stack of the kernel thread it was made on; the guest may go on another one.
void fix_alternate_stack(ucontext_t* uc) {
  uc->uc_stack.ss_sp = worker_here()->alternate_stack;
  uc->uc_stack.ss_size = kAlternateStack;
  uc->uc_stack.ss_flags = 0;
}

void on_system_call(int, siginfo_t*, void* u) {
  auto* uc = static_cast<ucontext_t*>(u);
  auto* regs = uc->uc_mcontext.gregs;
  if (!in_zone(static_cast<uint64_t>(regs[REG_RIP]))) {
    // Not a guest's: the kernel's vDSO falling back to a real system call for the host.
    regs[REG_RAX] = raw_syscall(regs[REG_RAX], regs[REG_RDI], regs[REG_RSI], regs[REG_RDX], regs[REG_R10], regs[REG_R8], regs[REG_R9]);
    return;
  }
  SystemCall call{regs[REG_RAX],
                  {regs[REG_RDI], regs[REG_RSI], regs[REG_RDX], regs[REG_R10], regs[REG_R8], regs[REG_R9]},
                  static_cast<uint64_t>(regs[REG_RIP]), static_cast<uint64_t>(regs[REG_RBP]), static_cast<uint64_t>(regs[REG_RSP])};
  regs[REG_RAX] = dmi_switch_out(static_cast<uint64_t>(Reason::Syscall), reinterpret_cast<uint64_t>(&call), 1);
  regs[REG_RIP] = static_cast<greg_t>(call.pc);
  fix_alternate_stack(uc);
}

void on_preempt(int, siginfo_t*, void* u) {
  auto* uc = static_cast<ucontext_t*>(u);
  worker_here()->preempting = false;
  if (!in_zone(static_cast<uint64_t>(uc->uc_mcontext.gregs[REG_RIP]))) {
    worker_here()->preempt_wanted = 1;  // the host is at work for a guest: it looks at this when it is done
    return;
  }
  dmi_switch_out(static_cast<uint64_t>(Reason::Preempt), reinterpret_cast<uint64_t>(uc), 0);
  fix_alternate_stack(uc);
}

void write_text(const char* s) { raw_syscall(SYS_write, 2, reinterpret_cast<long>(s), static_cast<long>(strlen(s))); }

void write_hex(uint64_t v) {
  char buf[19] = "0x0000000000000000";
  for (int i = 17; i > 1; i--, v >>= 4) buf[i] = "0123456789abcdef"[v & 15];
  raw_syscall(SYS_write, 2, reinterpret_cast<long>(buf), 18);
}

HostFault host_fault;
std::atomic<int> fault_known{0};
sem_t host_fault_seen;

void on_fault(int signal, siginfo_t* info, void* u) {
  auto* uc = static_cast<ucontext_t*>(u);
  const auto* regs = uc->uc_mcontext.gregs;
  const auto address_of = [](const char& label) { return reinterpret_cast<greg_t>(&label); };
  if (regs[REG_RIP] >= address_of(dmi_zero_page) && regs[REG_RIP] < address_of(dmi_zero_page_unreadable)) {  // it may meet what is gone
    uc->uc_mcontext.gregs[REG_RIP] = address_of(dmi_zero_page_unreadable);
    return;
  }
  const uint64_t gs = read_gs();
  Worker* w = gs ? static_cast<Worker*>(reinterpret_cast<WorkerBase*>(gs)) : nullptr;
  const auto pc = static_cast<uint64_t>(regs[REG_RIP]);
  // The host's own stacks are above the thread zone; a guest may have lost its own.
  const bool guest = in_zone(pc) || static_cast<uint64_t>(regs[REG_RSP]) < kZoneHigh || pc == reinterpret_cast<uint64_t>(&dmi_signal_stop);
  // The host at work for a guest, in memory of the guest that is mapped and has nothing behind it. What it was in the middle of
  // stays so: this kernel thread goes no further, and another says what has happened.
  if (!guest && in_zone(reinterpret_cast<uint64_t>(info->si_addr)) && fault_known == 0) {
    fault_known = 1;
    host_fault = {signal, reinterpret_cast<uint64_t>(info->si_addr), pc};
    sem_post(&host_fault_seen);
    while (true) raw_syscall(SYS_pause);
  }
  if (!w || !w->context || !guest) {  // the host's own fault: nothing can be saved
    write_text("dmi-host: fatal signal in the host itself: pc ");
    write_hex(pc);
    write_text(" address ");
    write_hex(reinterpret_cast<uint64_t>(info->si_addr));
    write_text("\n");
    raw_syscall(SYS_exit_group, 128 + signal);
  }
  w->fault.signal = signal;
  w->fault.code = info->si_code;
  w->fault.address = reinterpret_cast<uint64_t>(info->si_addr);
  w->fault.pc = pc;
  w->fault.sp = static_cast<uint64_t>(regs[REG_RSP]);
  w->fault.bp = static_cast<uint64_t>(regs[REG_RBP]);
  w->fault.fs = read_fs();
  w->fault.frame = uc;
  w->fault.info = info;
  w->context->reason = static_cast<uint64_t>(Reason::Fault);
  uc->uc_mcontext.gregs[REG_RIP] = reinterpret_cast<greg_t>(dmi_abandon_faulted);
  uc->uc_mcontext.gregs[REG_RSP] = static_cast<greg_t>(w->sp);  // its own may have no room for the signal that comes next
  write_fs(w->fs);  // not part of the frame: stays as we leave it
}

void handle(int signal, void (*handler)(int, siginfo_t*, void*), int flags) {
  struct sigaction sa = {};
  sa.sa_sigaction = handler;
  sa.sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART | flags;
  sigaction(signal, &sa, nullptr);
}

}  // namespace

void install_signal_handlers() {
  measure_signal_frames();
  handle(SIGSYS, on_system_call, 0);
  handle(kPreemptSignal, on_preempt, 0);
  for (int s : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}) handle(s, on_fault, SA_ONSTACK);
}

void watch_host_faults(std::function<void(const HostFault&)> report) {
  sem_init(&host_fault_seen, 0, 0);
  std::thread([report = std::move(report)] {
    block_all_signals();
    while (sem_wait(&host_fault_seen) != 0) {}
    report(host_fault);
  }).detach();
}

void prepare_worker_signals(Worker& w) {
  w.alternate_stack = mmap(nullptr, kAlternateStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  stack_t ss = {};
  ss.ss_sp = w.alternate_stack;
  ss.ss_size = kAlternateStack;
  sigaltstack(&ss, nullptr);
  raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, 0, reinterpret_cast<long>(&w.signal_mask), sizeof w.signal_mask);
  static char block = 1;  // the selector: every system call from outside the host's text is dispatched, always
  const auto text = reinterpret_cast<unsigned long>(&__executable_start);
  if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, text, reinterpret_cast<unsigned long>(&etext) - text, &block) != 0) {
    write_text("dmi-host: this kernel has no Syscall User Dispatch (Linux 5.11 or later is needed)\n");
    raw_syscall(SYS_exit_group, 1);
  }
}

void block_all_signals() {
  sigset_t all;
  sigfillset(&all);
  // Faults stay open: a host fault must be reported, not turned into a silent kill.
  for (int s : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}) sigdelset(&all, s);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);  // whatever the thread that made this one had
}

}  // namespace dmi::host
