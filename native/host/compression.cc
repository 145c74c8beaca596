#include "compression.h"

#include <algorithm>
#include <cstring>

namespace dmi::host {
namespace {
double per(uint64_t bytes, double seconds) { return static_cast<double>(bytes) / std::max(seconds, 1e-9); }
}  // namespace

Compression::Mode Compression::mode(const char* setting) {
  if (setting && std::strcmp(setting, "auto") == 0) return Mode::Auto;
  if (setting && std::strcmp(setting, "always") == 0) return Mode::Always;
  return Mode::Never;
}

void Compression::sent(uint64_t memory, uint64_t wire, double seconds, double packing) {
  if (mode_ != Mode::Auto) return;
  sent_ += memory;
  if (sent_ <= kSettle) return;
  window_.memory += memory, window_.wire += wire, window_.seconds += seconds, window_.packing += packing;
  if (window_.memory < (trial_ ? kTrial : kWindow)) return;
  if (packing_) look_at_packed();
  else look_at_plain();
  window_ = {};
}

void Compression::look_at_plain() {
  plain_ = per(window_.memory, window_.seconds);
  slow_ = plain_ < kFastest ? slow_ + 1 : 0;
  if (slow_ < 2 || sent_ < next_trial_) return;
  slow_ = 0;
  packing_ = trial_ = true;
}

void Compression::look_at_packed() {
  const double ratio = static_cast<double>(window_.memory) / static_cast<double>(std::max<uint64_t>(window_.wire, 1));
  // A trial is too short for the link to show: it takes as much as before, or what compressing makes.
  const double rate = trial_ ? std::min(per(window_.memory, window_.packing), plain_ * ratio) : per(window_.memory, window_.seconds);
  since_plain_ = trial_ ? 0 : since_plain_ + window_.memory;
  trial_ = false;
  if (ratio < kRatio || rate < kGain * plain_) {
    packing_ = false;
    next_trial_ = sent_ + kAgain;
  } else if (since_plain_ >= kDoubt) {
    packing_ = false;  // for one window, if nothing has changed
  }
}

}  // namespace dmi::host
