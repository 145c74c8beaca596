// Pages with nothing but zeros in them: fresh memory is that anyway, so a move need not send them.
#pragma once
#include <vector>

#include "pages.h"

namespace dmi::host {

// Runs of zero pages in `runs`, which are anonymous memory; the result ascends if they do. A few between others are left out: to skip them
// takes longer than to send them. What cannot be read, or goes away meanwhile, is not zero. Any host thread, once the signal handlers are
// installed.
std::vector<Run> zero_pages(const std::vector<Run>& runs);

}  // namespace dmi::host
