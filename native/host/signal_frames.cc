#include "signal_frames.h"

#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include <algorithm>

#include "host.h"
#include "layout.h"
#include "platform.h"

namespace dmi::host {
namespace {

constexpr uint64_t kRedZone = 128;
constexpr uint64_t kOwnRoom = 1024;  // bytes that the host's handlers take below a frame, and a little for the guest's
constexpr uint64_t kLegacyArea = 512;
constexpr uint32_t kExtended = 0x46505853;  // FP_XSTATE_MAGIC1: more than the legacy area follows

// The kernel's struct ucontext: the C library's, as far as the kernel's set of signals goes.
struct KernelContext {
  uint64_t flags;
  uint64_t link;
  uint64_t stack_start;
  int32_t stack_flags, stack_unused;
  uint64_t stack_size;
  mcontext_t registers;
  SignalSet mask;
};
static_assert(offsetof(KernelContext, registers) == offsetof(ucontext_t, uc_mcontext) && offsetof(KernelContext, mask) == offsetof(ucontext_t, uc_sigmask));

// What a handler finds at its stack pointer. Vector registers are above it, at a multiple of 64.
struct HandlerFrame {
  uint64_t restorer;  // the return address
  KernelContext context;
  siginfo_t info;
};
static_assert(sizeof(HandlerFrame) == 440 && sizeof(SwitchFrame) == 72);

uint64_t frame_size = getauxval(AT_MINSIGSTKSZ);  // until it is measured

uint64_t address_of(void (*f)()) { return reinterpret_cast<uint64_t>(f); }
template <class T>
T* at(uint64_t address) { return reinterpret_cast<T*>(address); }

// Bytes of the floating point state at `state`, as the kernel reads them.
uint64_t state_size(const void* state) {
  uint32_t words[2];  // fx_sw_bytes: magic1, extended_size
  memcpy(words, static_cast<const char*>(state) + 464, sizeof words);
  return words[0] == kExtended ? std::max<uint64_t>(words[1], kLegacyArea) : kLegacyArea;
}

void on_measure(int, siginfo_t*, void* u) {
  frame_size = state_size(static_cast<ucontext_t*>(u)->uc_mcontext.fpregs) + 64 + sizeof(HandlerFrame) + 16 + kRedZone;
}

Next die(Worker& w, Guest& g, int signal, uint64_t pc, uint64_t sp, uint64_t bp) {
  w.fault = {};
  w.fault.signal = signal;
  w.fault.pc = pc, w.fault.sp = sp, w.fault.bp = bp;
  return Host::get().fault(w, g);
}

// Makes the frame of a handler for `info`, above which the guest stands in `from`, and has the guest go on in it. False: there is no room.
bool enter(Guest& g, const KernelContext& from, uint64_t fs, const siginfo_t& info) {
  const int signal = info.si_signo;
  const SignalAction action = g.signals.action(signal);
  const auto* regs = from.registers.gregs;
  const auto sp = static_cast<uint64_t>(regs[REG_RSP]);
  const bool nested = g.signals.on_stack(sp);
  const bool switches = (action.flags & SA_ONSTACK) && !(g.signals.stack.flags & SS_DISABLE) && !nested;
  const uint64_t top = switches ? g.signals.stack.start + g.signals.stack.size : sp - kRedZone;
  const auto* state = reinterpret_cast<const char*>(from.registers.fpregs);
  const uint64_t size = state ? state_size(state) : 0;
  const uint64_t state_at = (top - size) & ~63ull;
  const uint64_t frame_at = ((state_at - sizeof(HandlerFrame)) & ~15ull) - 8;
  const uint64_t low = frame_at - sizeof(SwitchFrame);
  if (low > top || !g.space.allows(low, top - low, PROT_READ | PROT_WRITE)) return false;
  if ((switches || nested) && low <= g.signals.stack.start) return false;

  if (state) memcpy(at<char>(state_at), state, size);
  auto* frame = at<HandlerFrame>(frame_at);
  frame->restorer = action.restorer;
  frame->context = from;
  KernelContext& c = frame->context;
  c.link = 0;
  c.registers.fpregs = state ? at<_libc_fpstate>(state_at) : nullptr;
  c.stack_start = g.signals.stack.start, c.stack_flags = g.signals.stack.flags, c.stack_size = g.signals.stack.size;
  c.mask = g.signals.begin(signal);
  frame->info = info;

  auto* rest = at<SwitchFrame>(low);
  *rest = {};
  rest->fs = fs;
  rest->mxcsr = 0x1f80;
  rest->fcw = 0x37f;
  rest->rbx = static_cast<uint64_t>(signal);
  rest->rbp = static_cast<uint64_t>(regs[REG_RBP]);
  rest->r12 = reinterpret_cast<uint64_t>(&frame->info);
  rest->r13 = reinterpret_cast<uint64_t>(&frame->context);
  rest->r14 = action.handler;
  rest->rip = address_of(dmi_signal_enter);
  g.context.sp = low;
  return true;
}

// Was it the guest's own code that faulted, and not the host's on its behalf? A jump to nowhere is the guest's, wherever that is.
bool by_itself(const Fault& f) { return in_zone(f.pc) || ((f.signal == SIGSEGV || f.signal == SIGBUS) && f.address == f.pc); }

}  // namespace

// On the guest's stack with its FS base, as the handlers in signals.cc: the last thing before the kernel restores the frame.
extern "C" void dmi_settle_signal_frame(void* frame) {
  auto* c = static_cast<KernelContext*>(frame);
  const auto* w = static_cast<Worker*>(current_worker());
  c->stack_start = reinterpret_cast<uint64_t>(w->alternate_stack);
  c->stack_size = kAlternateStack;
  c->stack_flags = 0;
  c->mask = w->signal_mask;
}

void measure_signal_frames() {
  struct sigaction measure = {}, before;
  measure.sa_sigaction = on_measure;
  measure.sa_flags = SA_SIGINFO;
  sigaction(SIGURG, &measure, &before);
  ::raise(SIGURG);
  sigaction(SIGURG, &before, nullptr);
}

// A handler's, that of its system call, and that of a preemption which comes in the middle of it.
uint64_t least_signal_stack() { return 3 * frame_size + kOwnRoom; }

Next take_signals(Call& c) {
  GuestSignals& s = c.guest.signals;
  const int signal = s.next();
  if (!signal) {
    s.unsuspend();
    return Next::Continue;
  }
  if (!s.has_handler(signal)) return die(c.worker, c.guest, signal, c.at.pc, c.at.sp, c.at.bp);
  s.resume_pc = c.at.pc;
  c.at.pc = address_of(dmi_signal_stop);
  return Next::Continue;
}

Next fault_in_guest(Worker& w, Guest& g) {
  Fault& f = w.fault;
  GuestSignals& s = g.signals;
  const bool stopped = f.pc == address_of(dmi_signal_stop) && s.resume_pc != 0 && s.deliverable();
  const bool caught = by_itself(f) && s.has_handler(f.signal) && !(s.mask & bit(f.signal));
  if (!stopped && !caught) return Host::get().fault(w, g);
  KernelContext from;
  memcpy(&from, f.frame, sizeof from);
  if (stopped) f.pc = s.resume_pc;
  s.resume_pc = 0;
  from.registers.gregs[REG_RIP] = static_cast<greg_t>(f.pc);
  from.registers.gregs[REG_RSP] = static_cast<greg_t>(f.sp);
  const siginfo_t info = stopped ? s.take(s.deliverable()) : *f.info;
  if (!enter(g, from, f.fs, info)) {
    if (!stopped) return Host::get().fault(w, g);
    return die(w, g, SIGSEGV, f.pc, f.sp, f.bp);
  }
  // One after the other, as the kernel does: the second interrupts the first before its first instruction.
  const int next = s.next();
  if (!next) return Next::Continue;
  auto* rest = at<SwitchFrame>(g.context.sp);
  if (!s.has_handler(next)) return die(w, g, next, rest->r14, g.context.sp + sizeof *rest, rest->rbp);
  s.resume_pc = rest->r14;
  rest->r14 = address_of(dmi_signal_stop);
  return Next::Continue;
}

Next call_sigreturn(Call& c) {
  GuestSignals& s = c.guest.signals;
  const AddressSpace& space = c.guest.space;
  constexpr int kBoth = PROT_READ | PROT_WRITE;
  auto* frame = at<KernelContext>(c.at.sp);
  const auto bad = [&] { return die(c.worker, c.guest, SIGSEGV, c.at.pc, c.at.sp, c.at.bp); };
  if (!space.allows(c.at.sp, sizeof *frame, kBoth)) return bad();
  const auto state = reinterpret_cast<uint64_t>(frame->registers.fpregs);
  if (state && (!space.allows(state, kLegacyArea, kBoth) || !space.allows(state, state_size(at<char>(state)), kBoth))) return bad();
  auto* regs = frame->registers.gregs;
  constexpr uint64_t kOtherSegments = 0x0000'ffff'ffff'0000;
  constexpr uint64_t kUserSegments = 0x002b'0000'0000'0033;  // SS and CS of 64-bit programs: there are no others for a guest
  regs[REG_CSGSFS] = static_cast<greg_t>((static_cast<uint64_t>(regs[REG_CSGSFS]) & kOtherSegments) | kUserSegments);
  s.mask = frame->mask & ~kNeverBlocked;
  s.set_stack({frame->stack_start, frame->stack_flags, frame->stack_size}, static_cast<uint64_t>(regs[REG_RSP]), 0);
  if (const int signal = s.next()) {
    if (!s.has_handler(signal))
      return die(c.worker, c.guest, signal, static_cast<uint64_t>(regs[REG_RIP]), static_cast<uint64_t>(regs[REG_RSP]), static_cast<uint64_t>(regs[REG_RBP]));
    s.resume_pc = static_cast<uint64_t>(regs[REG_RIP]);
    regs[REG_RIP] = static_cast<greg_t>(address_of(dmi_signal_stop));
  }
  auto* rest = at<SwitchFrame>(c.guest.context.sp);
  rest->rbx = c.at.sp;
  rest->rip = address_of(dmi_signal_leave);
  return give(c, 0);
}

}  // namespace dmi::host
