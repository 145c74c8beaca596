// Places where a test makes a move break: DMI_FAULT=POINT:ACTION in a host's environment lets the first move that comes by
// POINT suffer ACTION. Without it a point costs one comparison.
//   kill   the host dies
//   cut    the move's connection breaks
//   stall  this side falls silent for good
#pragma once
#include <string_view>

namespace dmi::host {

void fault_point(std::string_view point, int fd);

}  // namespace dmi::host
