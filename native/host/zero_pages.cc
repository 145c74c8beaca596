#include "zero_pages.h"

#include "platform.h"

extern "C" int dmi_zero_page(const void* page);

namespace dmi::host {
namespace {
constexpr uint64_t kWorthwhile = 4 * kPage;  // bytes
}

std::vector<Run> zero_pages(const std::vector<Run>& runs) {
  std::vector<Run> zeros;
  for (const Run& r : runs) {
    uint64_t since = r.start;  // all zeros from here
    const auto end_at = [&](uint64_t at) {
      if (at - since >= kWorthwhile) zeros.push_back({since, at - since});
      since = at + kPage;
    };
    for (uint64_t at = r.start; at < r.start + r.size; at += kPage)
      if (dmi_zero_page(reinterpret_cast<const void*>(at)) != 1) end_at(at);
    end_at(r.start + r.size);
  }
  return zeros;
}

}  // namespace dmi::host
