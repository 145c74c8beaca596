#include "control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>

#include "error.h"
#include "signals.h"

namespace dmi::host {
namespace {
constexpr uint32_t kMaxFrame = 16u << 20;
constexpr size_t kMaxQueued = 8u << 20;

bool read_all(int fd, void* to, size_t size) {
  auto* p = static_cast<char*>(to);
  while (size > 0) {
    const ssize_t n = ::read(fd, p, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    p += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}
}  // namespace

void Control::start(int fd) {
  fd_ = fd;
  writer_ = std::thread([this] { block_all_signals(), write_queued(); });
}

void Control::send(const nlohmann::json& message) {
  std::vector<uint8_t> frame(4);
  nlohmann::json::to_msgpack(message, frame);
  const auto size = static_cast<uint32_t>(frame.size() - 4);
  memcpy(frame.data(), &size, 4);
  std::unique_lock hold(mutex_);
  changed_.wait(hold, [&] { return closed_ || queued_bytes_ < kMaxQueued; });
  if (closed_) return;
  queued_bytes_ += frame.size();
  queue_.push_back(std::move(frame));
  changed_.notify_all();
}

void Control::log(int level, const std::string& line) { send({{"t", "log"}, {"level", level}, {"msg", line}}); }

void Control::write_queued() {
  std::unique_lock hold(mutex_);
  while (true) {
    changed_.wait(hold, [&] { return !queue_.empty() || closed_; });
    if (closed_) return;
    auto frame = std::move(queue_.front());
    queue_.pop_front();
    writing_ = true;
    hold.unlock();
    size_t at = 0;
    bool broken = false;
    while (at < frame.size() && !broken) {
      const ssize_t n = ::send(fd_, frame.data() + at, frame.size() - at, MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) broken = true;
      else at += static_cast<size_t>(n);
    }
    hold.lock();
    writing_ = false;
    queued_bytes_ -= frame.size();
    if (broken) closed_ = true;
    changed_.notify_all();
  }
}

void Control::flush(double seconds) {
  std::unique_lock hold(mutex_);
  changed_.wait_for(hold, std::chrono::duration<double>(seconds), [&] { return closed_ || (queue_.empty() && !writing_); });
}

void Control::read(const std::function<void(const nlohmann::json&)>& on_message) {
  std::vector<uint8_t> body;
  while (true) {
    uint32_t size = 0;
    if (!read_all(fd_, &size, 4)) break;
    if (size > kMaxFrame) throw Error("control", "the agent sent a message of " + std::to_string(size) + " bytes; the limit is 16 MiB");
    body.resize(size);
    if (!read_all(fd_, body.data(), size)) break;
    auto message = nlohmann::json::from_msgpack(body, true, false);
    if (message.is_discarded() || !message.is_object() || !message.contains("t") || !message["t"].is_string()) {
      log(40, "a malformed control message was skipped");
      continue;
    }
    on_message(message);
  }
  std::lock_guard hold(mutex_);
  closed_ = true;
  changed_.notify_all();
}

}  // namespace dmi::host
