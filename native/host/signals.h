// Signals a host lives by: SIGSYS (a guest's system call), the preemption signal, and faults.
#pragma once
#include <cstdint>
#include <functional>

namespace dmi::host {
struct Worker;
// The host itself has faulted in a guest's memory.
struct HostFault {
  int signal = 0;
  uint64_t address = 0, pc = 0;
};
void install_signal_handlers();          // once per process
void prepare_worker_signals(Worker& w);  // on the worker itself: alternate stack, system call dispatch
void block_all_signals();                // for threads of the host that never run guests
void watch_host_faults(std::function<void(const HostFault&)> report);  // once: in a thread of its own, at the first
}  // namespace dmi::host
