// Virtual threads as coroutines: a script co_awaits operations, the scheduler continues it when they are complete.
#pragma once
#include <coroutine>
#include <exception>
#include <utility>

namespace dmi::memory::sim {

// Lazily started; awaiting it runs it to its end.
class Script {
 public:
  struct promise_type {
    std::coroutine_handle<> outer;
    Script get_return_object() { return Script{std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() noexcept { return {}; }
    struct Final {
      bool await_ready() noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> h) noexcept {
        return h.promise().outer ? h.promise().outer : std::noop_coroutine();
      }
      void await_resume() noexcept {}
    };
    Final final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
  Script(Script&& o) noexcept : handle_(std::exchange(o.handle_, {})) {}
  Script& operator=(Script&& o) noexcept {
    std::swap(handle_, o.handle_);
    return *this;
  }
  Script() = default;
  ~Script() {
    if (handle_) handle_.destroy();
  }
  bool done() const { return !handle_ || handle_.done(); }
  void start() { handle_.resume(); }

  bool await_ready() { return handle_.done(); }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> outer) {
    handle_.promise().outer = outer;
    return handle_;
  }
  void await_resume() {}

 private:
  explicit Script(std::coroutine_handle<promise_type> h) : handle_(h) {}
  std::coroutine_handle<promise_type> handle_;
};

}  // namespace dmi::memory::sim
