// Which build of the host this is: equal builds can exchange threads, because a preempted thread returns into host code.
#pragma once
#include <string>

namespace dmi::host {
std::string own_build_id();  // hex; "unknown" when linked without one
}  // namespace dmi::host
