// Whether the next pages of a move are compressed. They are where that makes them arrive sooner: where the link, and not the processor, is
// the limit, and the pages give way. Neither is known ahead, so both are measured as it goes. Pure.
//
// It starts plain. When plain pages go slowly enough that lz4 could keep up, a short trial shows how fast it is with these pages and how
// much smaller they get; what the two promise decides. What is decided is looked at again now and then, as links and contents change.
#pragma once
#include <cstdint>

namespace dmi::host {

class Compression {
 public:
  enum class Mode : uint8_t { Never, Auto, Always };
  static Mode mode(const char* setting);  // auto, always; anything else, and null, is never

  explicit Compression(Mode mode) : mode_(mode) {}
  bool possible() const { return mode_ != Mode::Never; }
  bool pack() const { return mode_ == Mode::Always || packing_; }  // the next pages
  // The pages that pack() was asked for: their size, what went over, how long that took, and how much of that compressing did.
  void sent(uint64_t memory, uint64_t wire, double seconds, double packing);

  static constexpr uint64_t kSettle = 4 << 20;   // bytes at first that say little: the connection's buffers swallow them
  static constexpr uint64_t kWindow = 4 << 20;   // bytes between two looks
  static constexpr uint64_t kTrial = 1 << 20;    // bytes of a trial
  static constexpr uint64_t kAgain = 64 << 20;   // bytes after a trial that promised nothing until the next
  static constexpr uint64_t kDoubt = 256 << 20;  // compressed bytes until plain ones are measured again
  static constexpr double kFastest = 400e6;      // bytes/s from which compressing gains little at most: no trial
  static constexpr double kRatio = 1.2;          // below, it is not worth the other side's work either
  static constexpr double kGain = 1.1;           // how much sooner it must be

 private:
  struct Window { uint64_t memory = 0, wire = 0; double seconds = 0, packing = 0; };
  void look_at_plain();
  void look_at_packed();

  Mode mode_;
  bool packing_ = false, trial_ = false;
  int slow_ = 0;             // plain windows in a row; one alone may be a moment without a processor
  uint64_t sent_ = 0;        // in all
  uint64_t next_trial_ = 0;  // not before so many are sent
  uint64_t since_plain_ = 0;
  double plain_ = 0;         // bytes/s, when last measured
  Window window_{};
};

}  // namespace dmi::host
