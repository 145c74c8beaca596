// The channel to the node agent: framed MessagePack on descriptor 3; see docs/internals/host-control.md.
#pragma once
#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace dmi::host {

class Control {
 public:
  // Starts the writer thread.
  void start(int fd);
  // Any thread, also a worker in the middle of a guest's system call. Blocks while more than 8 MiB wait to be read.
  void send(const nlohmann::json& message) { queue(message), wake(); }
  void queue(const nlohmann::json& message);  // goes out no later than what is sent after it, and no earlier than wake()
  // News of threads may wait for kSettle, and nobody hears of a thread that has come and gone meanwhile: what makes threads
  // by the ten thousand in a second does not drown the agent and the coordinator. Block while 256 KiB wait to be read.
  void started(uint64_t thread, const nlohmann::json& message);
  void exited(uint64_t thread, const nlohmann::json& message, bool matters);  // `matters`: also if it has just come
  // Blocks while much waits to be read: for who makes news of its own accord, before it makes more.
  void wait_for_reader();
  void wake() { changed_.notify_all(); }
  void log(int level, const std::string& line);
  // Reads messages until the channel closes. `on_message` runs on the calling thread.
  void read(const std::function<void(const nlohmann::json&)>& on_message);
  void flush(double seconds);  // wait until everything is written, at most so long

 private:
  struct Frame {
    std::vector<uint8_t> bytes;
    uint64_t thread = 0;  // that has started
    std::chrono::steady_clock::time_point since;
  };
  void write_queued();
  void put(std::unique_lock<std::mutex>& hold, std::vector<uint8_t>&& frame, bool lazy, uint64_t thread = 0);
  int fd_ = -1;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Frame> queue_;
  std::unordered_map<uint64_t, std::list<Frame>::iterator> young_;  // threads whose start nobody has heard of
  size_t queued_bytes_ = 0;
  bool urgent_ = false;  // something in the queue may not wait
  bool writing_ = false;
  bool closed_ = false;
  std::thread writer_;
};

}  // namespace dmi::host
