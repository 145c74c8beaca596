// Where a thread is in its program, while it lives: `dmi stack`.
#pragma once
#include <string>

#include "guest.h"

namespace dmi::host {

// Its calls, one per line, innermost first, with symbols and lines where there are any. The thread stands still only while its
// registers and what is on its stack are copied. In a helper thread: names take their time. Throws Error("busy" | "gone") with the reason.
std::string stack_of(Guest& g);

}  // namespace dmi::host
