// Switching between a worker's stack and a guest's stack.
//
// A guest at rest is one stack pointer: everything else lies below it on its own stack as a SwitchFrame. It may continue
// on any worker of any host of the same build.
#pragma once
#include <cstdint>

namespace dmi::host {

struct Guest;

// Why a guest came back to its worker.
enum class Reason : uint64_t {
  Call = 0,     // gate call: a = number, b = argument block
  Syscall = 1,  // system call: a = SystemCall* on the guest's stack, b = 1: dispatched, 0: from a rewritten site
  Preempt = 2,  // timer or move request: a = ucontext_t* on the guest's stack
  Fault = 3,    // it faulted: details are in the worker
};

// Where a guest stands. Offsets are known to switch.S.
struct Context {
  uint64_t sp = 0;      // 0: address of its SwitchFrame
  uint64_t reason = 0;  // 8
  uint64_t a = 0;       // 16
  uint64_t b = 0;       // 24
  int64_t result = 0;   // 32: what the guest finds in RAX when it continues
};

// What switch_out leaves at `sp`, lowest address first.
struct SwitchFrame {
  uint64_t fs;
  uint32_t mxcsr;
  uint16_t fcw;
  uint16_t pad;
  uint64_t r15, r14, r13, r12, rbx, rbp;
  uint64_t rip;
};

// A system call as the guest made it. gate_entry.S pushes it, or the SIGSYS handler fills it in.
struct SystemCall {
  int64_t nr;
  int64_t a[6];
  uint64_t pc;  // behind the `syscall` instruction; where the guest goes on
  uint64_t bp;
  uint64_t sp;
};

// What GS points to on a worker. Offsets are known to switch.S.
struct WorkerBase {
  WorkerBase* self = nullptr;   // 0
  Context* context = nullptr;   // 8: of the guest that runs, or nullptr
  uint64_t fs = 0;              // 16: the worker's own FS base
  uint64_t sp = 0;              // 24: the worker's stack while a guest runs
  uint64_t preempt_wanted = 0;  // 32: a preemption came while host code ran
};

extern "C" {
// Worker only: continues the guest in GS:context; returns when it comes back.
void dmi_switch_in();
// On a guest's stack: saves it and returns to the worker. Returns Context::result when the guest continues.
int64_t dmi_switch_out(uint64_t reason, uint64_t a, uint64_t b);
// The gate's `call` entry.
int64_t dmi_gate_call(int64_t nr, void* args);
// Where rewritten system call sites arrive. Not called.
void dmi_gate_system_call();
extern uint8_t dmi_have_xsavec;
// Not called: back to the worker, the guest left as it is (FS is the worker's; RSP is set up from GS).
void dmi_abandon_guest();
}

inline WorkerBase* current_worker() {
  WorkerBase* w;
  asm volatile("mov %%gs:0, %0" : "=r"(w));
  return w;
}

}  // namespace dmi::host
