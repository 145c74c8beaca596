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
constexpr size_t kMaxNews = 256u << 10;     // of them news of threads, and then they wait no longer
constexpr size_t kMuch = 16u << 10;         // and then nobody makes more of it of his own accord
constexpr auto kSettle = std::chrono::milliseconds(3);
constexpr size_t kMostAtOnce = 256u << 10;  // bytes; a single message may be larger

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

// Deeper nesting than any message of ours, which would use up the stack of whoever parses it.
bool too_deep(const std::vector<uint8_t>& body) {
  constexpr size_t kDeepest = 32;
  std::vector<uint64_t> open{1};  // values still to come, per level
  size_t at = 0;
  const auto length = [&](size_t bytes) {
    uint64_t v = 0;
    for (size_t i = 0; i < bytes && at < body.size(); i++) v = v << 8 | body[at++];
    return v;
  };
  while (!open.empty() && at < body.size()) {
    if (open.back() == 0) {
      open.pop_back();
      continue;
    }
    open.back()--;
    const uint8_t b = body[at++];
    uint64_t skip = 0, values = 0;
    if (b >= 0x80 && b <= 0x8f) values = 2 * (b & 15u);
    else if (b >= 0x90 && b <= 0x9f) values = b & 15u;
    else if (b >= 0xa0 && b <= 0xbf) skip = b & 31u;
    else if (b >= 0xc4 && b <= 0xc6) skip = length(1u << (b - 0xc4));
    else if (b >= 0xc7 && b <= 0xc9) skip = length(1u << (b - 0xc7)) + 1;
    else if (b == 0xca || b == 0xce || b == 0xd2) skip = 4;
    else if (b == 0xcb || b == 0xcf || b == 0xd3) skip = 8;
    else if (b == 0xcc || b == 0xcd) skip = 1u << (b - 0xcc);
    else if (b == 0xd0 || b == 0xd1) skip = 1u << (b - 0xd0);
    else if (b >= 0xd4 && b <= 0xd8) skip = (1u << (b - 0xd4)) + 1;
    else if (b >= 0xd9 && b <= 0xdb) skip = length(1u << (b - 0xd9));
    else if (b == 0xdc || b == 0xdd) values = length(b == 0xdc ? 2 : 4);
    else if (b == 0xde || b == 0xdf) values = 2 * length(b == 0xde ? 2 : 4);
    if (skip > body.size() - at) return false;  // truncated: the parser says so
    at += skip;
    if (values) open.push_back(values);
    if (open.size() > kDeepest) return true;
  }
  return false;
}

std::vector<uint8_t> encode(const nlohmann::json& message) {
  std::vector<uint8_t> frame(4);
  nlohmann::json::to_msgpack(message, frame);
  const auto size = static_cast<uint32_t>(frame.size() - 4);
  memcpy(frame.data(), &size, 4);
  return frame;
}
}  // namespace

void Control::start(int fd) {
  fd_ = fd;
  writer_ = std::thread([this] { block_all_signals(), write_queued(); });
}

void Control::put(std::unique_lock<std::mutex>& hold, std::vector<uint8_t>&& frame, bool lazy, uint64_t thread) {
  const size_t most = lazy ? kMaxNews : kMaxQueued;
  if (lazy && queued_bytes_ >= most) changed_.notify_all();
  changed_.wait(hold, [&] { return closed_ || queued_bytes_ < most; });
  if (closed_) return;
  const bool first = queue_.empty();
  queued_bytes_ += frame.size();
  queue_.push_back({std::move(frame), thread, std::chrono::steady_clock::now()});
  if (!lazy) urgent_ = true;
  else if (first || queued_bytes_ >= kMaxNews) changed_.notify_all();
}

void Control::queue(const nlohmann::json& message) {
  auto frame = encode(message);
  std::unique_lock hold(mutex_);
  put(hold, std::move(frame), false);
}

void Control::started(uint64_t thread, const nlohmann::json& message) {
  auto frame = encode(message);
  std::unique_lock hold(mutex_);
  put(hold, std::move(frame), true, thread);
  if (!closed_) young_[thread] = std::prev(queue_.end());
}

void Control::exited(uint64_t thread, const nlohmann::json& message, bool matters) {
  std::unique_lock hold(mutex_);
  const auto at = matters ? young_.end() : young_.find(thread);
  if (at == young_.end()) return put(hold, encode(message), true);
  queued_bytes_ -= at->second->bytes.size();
  queue_.erase(at->second);
  young_.erase(at);
}

void Control::wait_for_reader() {
  std::unique_lock hold(mutex_);
  changed_.wait(hold, [&] { return closed_ || queued_bytes_ < kMuch; });
}

void Control::log(int level, const std::string& line) { send({{"t", "log"}, {"level", level}, {"msg", line}}); }

void Control::write_queued() {
  std::unique_lock hold(mutex_);
  while (true) {
    changed_.wait(hold, [&] { return !queue_.empty() || closed_; });
    const auto now_or_never = [&] { return urgent_ || closed_ || queued_bytes_ >= kMaxNews; };
    if (!now_or_never()) changed_.wait_until(hold, queue_.front().since + kSettle, now_or_never);
    if (closed_) return;
    // All that has come together goes out together: the reader wakes up once.
    std::vector<uint8_t> frame;
    const auto settled = now_or_never() ? std::chrono::steady_clock::time_point::max() : std::chrono::steady_clock::now() - kSettle;
    while (!queue_.empty() && queue_.front().since <= settled && (frame.empty() || frame.size() + queue_.front().bytes.size() <= kMostAtOnce)) {
      auto& next = queue_.front();
      if (frame.empty()) frame = std::move(next.bytes);
      else frame.insert(frame.end(), next.bytes.begin(), next.bytes.end());
      if (next.thread) young_.erase(next.thread);
      queue_.pop_front();
    }
    if (queue_.empty()) urgent_ = false;
    if (frame.empty()) continue;  // who had started has exited, or is still too young
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
    if (too_deep(body)) {
      log(40, "a malformed control message was skipped: it is nested too deep");
      continue;
    }
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
