// System calls that may block for long run in helper threads, so that a worker never waits with the guest.
#include <errno.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "host.h"
#include "platform.h"
#include "signals.h"
#include "syscalls.h"

namespace dmi::host {
namespace {

// Grows by a thread whenever all are busy (a blocked one may be blocked for ever); idle ones end after a while.
class Helpers {
 public:
  void run(std::function<void()> work) {
    std::lock_guard hold(mutex_);
    queue_.push_back(std::move(work));
    // Every idle thread is needed for what was queued before, which may block for ever.
    if (queue_.size() <= idle_) wake_.notify_one();
    else std::thread([this] { block_all_signals(), serve(); }).detach();
  }

 private:
  void serve() {
    std::unique_lock hold(mutex_);
    while (true) {
      idle_++;
      const bool got = wake_.wait_for(hold, std::chrono::seconds(10), [&] { return !queue_.empty(); });
      idle_--;
      if (!got) return;
      auto work = std::move(queue_.front());
      queue_.pop_front();
      hold.unlock();
      work();
      hold.lock();
    }
  }
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  size_t idle_ = 0;
};

Helpers& helpers() {
  static Helpers* h = new Helpers;  // outlives everything: its threads are detached
  return *h;
}

}  // namespace

void run_in_helper(std::function<void()> work) { helpers().run(std::move(work)); }

Next offload(Call& c, std::function<long()> work) {
  Guest& g = c.guest;
  g.lock.lock();
  g.state = State::Offloaded;
  g.lock.unlock();
  helpers().run([&g, work = std::move(work)] { Host::get().wake(g, work()); });
  return Next::Gone;
}

Next offload(Call& c, long nr, const long (&args)[6]) {
  return offload(c, [nr, a0 = args[0], a1 = args[1], a2 = args[2], a3 = args[3], a4 = args[4], a5 = args[5]] {
    long r;
    do r = raw_syscall(nr, a0, a1, a2, a3, a4, a5);
    while (r == -EINTR);
    return r;
  });
}

}  // namespace dmi::host
