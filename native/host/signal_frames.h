// Signal handlers of guests: frames on their stacks.
//
//   its own call    kill, sigprocmask, … leave a signal to be taken: the call returns to dmi_signal_stop instead of behind it
//   a fault         of its own code, or there: the kernel has put a frame with all its registers on the worker's alternate stack
//   enter           that frame is copied to where the guest's handler is to find it, and the guest goes on in the handler
//   return          the guest's rt_sigreturn: the kernel restores that frame, or what the handler has made of it
//
// All a thread at rest consists of stays in its own memory, so it can be moved at any of these points.
#pragma once
#include <ucontext.h>

#include <cstdint>

#include "scheduler.h"
#include "syscalls.h"

extern "C" {
void dmi_signal_stop();   // signal_entry.S; not called
void dmi_signal_enter();
void dmi_signal_leave();
void dmi_abandon_faulted();
}

namespace dmi::host {

// Once, before there are workers: how large the kernel's frames are on this machine.
void measure_signal_frames();
// Bytes that an alternate stack has at least: for a handler, and for what the host leaves there while it runs.
uint64_t least_signal_stack();

// At the end of a call that may have left a signal to be taken. `c.result` is the call's.
Next take_signals(Call& c);
// The guest has faulted: it goes on in a handler of its, or dies.
Next fault_in_guest(Worker& w, Guest& g);

}  // namespace dmi::host
