#include "inspect.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <ucontext.h>

#include "error.h"
#include "host.h"
#include "layout.h"
#include "platform.h"
#include "signal_frames.h"
#include "unwind.h"

extern "C" char dmi_gate_system_call_back;  // gate_entry.S

namespace dmi::host {
namespace {

constexpr double kPatience = 5;             // seconds
constexpr size_t kMostStack = 1 << 20;      // bytes copied: more calls than anyone reads
constexpr size_t kFrameWithin = 16 << 10;   // bytes above a guest's stack pointer in which a signal's frame is found
constexpr size_t kFrame = offsetof(ucontext_t, uc_mcontext) + sizeof(mcontext_t);  // bytes of a ucontext

struct Registers {
  uint64_t pc = 0, sp = 0, bp = 0;
};

// What the kernel makes a signal handler return to; on the guest's stack it stands just below the frame's ucontext.
uint64_t signal_return() {
  struct { void* handler; unsigned long flags; void* restorer; uint64_t mask; } action{};
  raw_syscall(SYS_rt_sigaction, SIGSYS, 0, reinterpret_cast<long>(&action), 8);
  return reinterpret_cast<uint64_t>(action.restorer);
}

// A guest at rest stands in a call of the gate, behind a rewritten system call, or in one of the host's signal handlers. Which
// can be told from its stack alone, so also of one that has come from another host.
Registers registers_of(uint64_t at, const StackCopy& stack, uint64_t resume_pc) {
  SwitchFrame frame{};
  if (!stack.read(at, &frame, sizeof frame)) throw Error("busy", "its stack cannot be read");
  Registers r{frame.rip, at + sizeof frame, frame.rbp};
  if (in_zone(r.pc)) return r;
  if (r.pc == reinterpret_cast<uint64_t>(&dmi_gate_system_call_back)) {
    SystemCall call{};
    if (stack.read(frame.rbp, &call, sizeof call)) return {resume_pc ? resume_pc : call.pc, call.sp, call.bp};
  }
  if (r.pc == reinterpret_cast<uint64_t>(&dmi_signal_enter)) return {resume_pc ? resume_pc : frame.r14, r.sp, r.bp};
  if (ucontext_t uc; r.pc == reinterpret_cast<uint64_t>(&dmi_signal_leave) && stack.read(frame.rbx, &uc, kFrame)) {
    const auto* regs = uc.uc_mcontext.gregs;
    return {resume_pc ? resume_pc : static_cast<uint64_t>(regs[REG_RIP]), static_cast<uint64_t>(regs[REG_RSP]), static_cast<uint64_t>(regs[REG_RBP])};
  }
  const uint64_t mark = signal_return();
  uint64_t word = 0;
  for (uint64_t a = at; a < at + kFrameWithin && stack.read(a, &word, 8); a += 8) {
    ucontext_t uc;
    if (word != mark || !stack.read(a + 8, &uc, kFrame)) continue;
    const auto* regs = uc.uc_mcontext.gregs;
    if (in_zone(static_cast<uint64_t>(regs[REG_RIP])))
      return {static_cast<uint64_t>(regs[REG_RIP]), static_cast<uint64_t>(regs[REG_RSP]), static_cast<uint64_t>(regs[REG_RBP])};
  }
  throw Error("busy", "it stands in a part of the host that cannot be told");
}

}  // namespace

std::string stack_of(Guest& g) {
  if (g.role == DMI_ROLE_FUNCTION) throw Error("gone", "it serves DMI_function and is no thread of the program");
  if (g.moving.exchange(true)) throw Error("busy", "it is being moved; ask again");
  struct Unmark { Guest& g; ~Unmark() { g.moving = false; } } unmark{g};
  std::string why, code;
  if (!Host::get().pause(g, kPatience, why, code)) throw Error(code, why);
  AddressSpace copy;  // has no extents: nothing is unmapped with it
  for (const auto& [start, area] : g.space.areas()) copy.note(start, area);
  StackCopy stack;
  stack.start = g.context.sp;
  const Area* a = copy.find(stack.start);
  stack.bytes.resize(a ? std::min<uint64_t>(kMostStack, a->end - stack.start) : 0);
  iovec to{stack.bytes.data(), stack.bytes.size()}, from{reinterpret_cast<void*>(stack.start), stack.bytes.size()};
  const ssize_t got = process_vm_readv(getpid(), &to, 1, &from, 1, 0);
  stack.bytes.resize(got > 0 ? static_cast<size_t>(got) : 0);
  const uint64_t resume_pc = g.signals.resume_pc;
  const std::string doing = g.input.call ? "waiting for input" : g.rest == Rest::Sleep ? "sleeping" : g.rest == Rest::Run ? "running" : "blocked";
  Host::get().release(g);
  const Registers r = registers_of(stack.start, stack, resume_pc);
  return "thread " + g.name() + " on " + Host::get().config().node + ", " + doing + ", is in\n" +
         Host::get().named(describe(copy, backtrace(copy, r.pc, r.sp, r.bp, &stack)));
}

}  // namespace dmi::host
