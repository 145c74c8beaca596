// Time of day without a system call: the image that guests take for the kernel's vDSO, and what its functions end in.
#pragma once
#include "../gate/gate.h"

namespace dmi::host {
// Once per process, before guests run: maps the image at DMI_GATE_VDSO_ADDRESS and fills in the gate's time functions.
// Throws Error("host").
void map_vdso(dmi_gate& gate);
}  // namespace dmi::host
