// What a thread may have found in the processor of the machine where it started, and goes on using: its C library has chosen the
// functions for it, and may have left registers on the stack in that processor's format. It can only go where all of that is.
#pragma once
#include <memory>
#include <string>
#include <vector>

namespace dmi::host {

using Features = std::vector<std::string>;  // ascending

// Of this machine: instruction sets by the kernel's names (avx2), where the processor saves each set of registers (xsave-2@576), and the
// size of pages (4096-byte-pages). Of what the kernel lists, only what programs can use. DMI_HOST_WITHOUT=NAME,NAME leaves some out,
// for tests. The same object every time. Any thread.
std::shared_ptr<const Features> machine_features();

// Those of `flags`, words as /proc/cpuinfo has them, that a program can use; ascending. Pure.
Features usable(const std::string& flags);
// Those that `have` lacks, at most ten by name: "avx512f, avx512bw". Empty: none. Pure.
std::string lacking(const Features& need, const Features& have);

}  // namespace dmi::host
