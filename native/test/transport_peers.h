// Two or more transports in one process, and what they received; for transport_*_test.cc.
#pragma once
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <thread>

#include "memory/transport/transport.h"

namespace dmi::memory::transport {

// Of this run's random numbers; SCOPED_TRACE(replay()) says how to have them again.
inline uint32_t seed() {
  static const uint32_t value = getenv("DMI_SEED") ? static_cast<uint32_t>(atoi(getenv("DMI_SEED"))) : std::random_device{}();
  return value;
}
inline std::string replay() { return "replay with DMI_SEED=" + std::to_string(seed()); }

inline bool eventually(const std::function<bool()>& condition, double seconds = 20) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (std::chrono::steady_clock::now() < end) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return condition();
}

inline std::vector<std::byte> bytes_of(std::string_view text) {
  const auto data = std::as_bytes(std::span(text));
  return {data.begin(), data.end()};
}
inline std::string text_of(std::span<const std::byte> data) {
  return {reinterpret_cast<const char*>(data.data()), data.size()};
}

inline Frame make_frame(std::string_view head, std::string_view body = {}) {
  Frame frame;
  frame.head = bytes_of(head);
  if (!body.empty()) {
    auto copy = std::make_shared<std::vector<std::byte>>(bytes_of(body));
    frame.body.push_back({copy->data(), copy->size(), copy});
  }
  return frame;
}

struct Received {
  MemberId from;
  std::string head, body;
};

// A transport whose frames are kept as text.
class Node : public FrameHandler {
 public:
  explicit Node(MemberId id, double peer_timeout = 30, std::string key = "secret", std::string job = "job", bool share = false)
      : id_(id),
        transport_({{job, key, "build-1", id}, "127.0.0.1", 0, peer_timeout, 50, share}, *this,
                   {[this](MemberId m, std::string_view why) {
                      std::lock_guard lock(mutex_);
                      unreachable_[m] = why;
                      reports_[m]++;
                    },
                    [this](int fd, std::string_view service, MemberId from, std::span<const std::byte> extra) {
                      std::lock_guard lock(mutex_);
                      streams_.push_back({fd, std::string(service), from, text_of(extra)});
                    },
                    [this](int, std::string_view line) {
                      std::lock_guard lock(mutex_);
                      logs_.emplace_back(line);
                      if (getenv("DMI_TEST_LOG")) fprintf(stderr, "%d: %s\n", id_, logs_.back().c_str());
                    }}) {
    transport_.start();
  }

  void send(MemberId to, Frame frame) { transport_.flush(transport_.push(to, LinkKind::Engine, std::move(frame))); }
  void meet(Node& other) { transport_.know(other.id_, "127.0.0.1", other.transport_.port()); }
  Transport& transport() { return transport_; }

  size_t count() {
    std::lock_guard lock(mutex_);
    return received_.size();
  }
  std::deque<Received> take() {
    std::lock_guard lock(mutex_);
    return std::exchange(received_, {});
  }
  bool logged(std::string_view part) {
    std::lock_guard lock(mutex_);
    for (const auto& line : logs_)
      if (line.find(part) != line.npos) return true;
    return false;
  }
  std::string unreachable(MemberId m) {
    std::lock_guard lock(mutex_);
    auto at = unreachable_.find(m);
    return at == unreachable_.end() ? "" : at->second;
  }
  int reports(MemberId m) {
    std::lock_guard lock(mutex_);
    return reports_[m];
  }
  struct Stream {
    int fd;
    std::string service;
    MemberId from;
    std::string extra;
  };
  std::vector<Stream> streams() {
    std::lock_guard lock(mutex_);
    return streams_;
  }
  // When set, bodies are received here.
  std::vector<std::byte> place;
  std::atomic<int> sinks{0};
  std::function<void(MemberId, const std::string& head, const std::string& body)> on_frame;

 private:
  void begin() override { mutex_.lock(); }
  std::byte* sink(MemberId, std::span<const std::byte>, size_t size) override {
    sinks++;
    return size <= place.size() ? place.data() : nullptr;
  }
  void frame(MemberId from, std::span<const std::byte> head, std::span<const std::byte> body) override {
    received_.push_back({from, text_of(head), text_of(body)});
    fresh_.push_back(received_.back());
  }
  void end() override {
    auto fresh = std::exchange(fresh_, {});
    mutex_.unlock();
    if (on_frame)
      for (const auto& f : fresh) on_frame(f.from, f.head, f.body);
  }
  void app(MemberId from, std::span<const std::byte> bytes) override {
    std::lock_guard lock(mutex_);
    received_.push_back({from, "app", text_of(bytes)});
  }

  const MemberId id_;
  std::mutex mutex_;
  std::deque<Received> received_;
  std::vector<Received> fresh_;
  std::vector<std::string> logs_;
  std::map<MemberId, std::string> unreachable_;
  std::map<MemberId, int> reports_;  // of unreachable
  std::vector<Stream> streams_;
  Transport transport_;
};

// Members that all connect to each other at once, while three threads of each send `each` frames to every other one.
inline void all_to_all(int members, int each, bool share) {
  constexpr int kThreads = 3;
  std::vector<std::unique_ptr<Node>> nodes;
  for (int i = 0; i < members; i++) nodes.push_back(std::make_unique<Node>(i + 1, 30, "secret", "job", share));
  for (auto& n : nodes)
    for (auto& other : nodes)
      if (n != other) n->meet(*other);
  std::vector<std::thread> threads;
  for (int m = 0; m < members; m++)
    for (int t = 0; t < kThreads; t++)
      threads.emplace_back([&, m, t] {
        for (int i = 0; i < each; i++)
          for (int to = 0; to < members; to++)
            if (to != m) nodes[static_cast<size_t>(m)]->send(to + 1, make_frame(std::to_string(t) + " " + std::to_string(i)));
      });
  for (auto& t : threads) t.join();
  for (auto& n : nodes) {
    ASSERT_TRUE(eventually([&] { return n->count() == static_cast<size_t>((members - 1) * kThreads * each); }, 60));
    std::map<std::pair<MemberId, int>, int> next;
    for (const auto& frame : n->take()) {
      int thread, number;
      ASSERT_EQ(sscanf(frame.head.c_str(), "%d %d", &thread, &number), 2);
      EXPECT_EQ((next[{frame.from, thread}]++), number);
    }
  }
}

}  // namespace dmi::memory::transport
