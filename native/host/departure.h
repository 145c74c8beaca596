// When a host may hand over its shards and pages: it has been asked to, no thread lives here, none is on its way in or out.
// The coordinator asks when it believes the host empty, but threads also move on their own account, and its news of them
// is a little late; so the host itself makes sure.
//
// Invariant: begun implies that nothing lives here and visitors_ == 0, and stays so.
#pragma once
#include <functional>
#include <mutex>

namespace dmi::host {

class Departure {
 public:
  std::function<bool()> empty;  // no thread lives here; called with the lock held
  std::function<void()> begin;  // called once, when the time has come

  // A thread may come to life, arrive or leave until exit(). False: too late, the host is handing over.
  bool enter() {
    std::lock_guard hold(mutex_);
    if (begun_) return false;
    visitors_++;
    return true;
  }
  void exit() { change([this] { visitors_--; }); }
  void ask() { change([this] { asked_ = true; }); }
  void thread_gone() { change([] {}); }
  bool asked() {
    std::lock_guard hold(mutex_);
    return asked_;
  }

 private:
  template <typename F>
  void change(F f) {
    {
      std::lock_guard hold(mutex_);
      f();
      if (!asked_ || begun_ || visitors_ > 0 || !empty()) return;
      begun_ = true;
    }
    begin();
  }
  std::mutex mutex_;
  bool asked_ = false, begun_ = false;
  int visitors_ = 0;
};

// A thread on its way in or out keeps the host from leaving.
struct Visit {
  explicit Visit(Departure& d) : departure(d), admitted(d.enter()) {}
  ~Visit() {
    if (admitted) departure.exit();
  }
  Visit(const Visit&) = delete;
  Departure& departure;
  const bool admitted;
};

}  // namespace dmi::host
