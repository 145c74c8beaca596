// Signals a host lives by: SIGSYS (a guest's system call), the preemption signal, and faults.
#pragma once

namespace dmi::host {
struct Worker;
void install_signal_handlers();          // once per process
void prepare_worker_signals(Worker& w);  // on the worker itself: alternate stack, system call dispatch
void block_all_signals();                // for threads of the host that never run guests
}  // namespace dmi::host
