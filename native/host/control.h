// The channel to the node agent: framed MessagePack on descriptor 3; see docs/internals/host-control.md.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

namespace dmi::host {

class Control {
 public:
  // Starts the writer thread.
  void start(int fd);
  // Any thread, also a worker in the middle of a guest's system call. Blocks while more than 8 MiB wait to be read.
  void send(const nlohmann::json& message) { queue(message), wake(); }
  void queue(const nlohmann::json& message);  // goes out no later than what is sent after it, and no earlier than wake()
  void wake() { changed_.notify_all(); }
  void log(int level, const std::string& line);
  // Reads messages until the channel closes. `on_message` runs on the calling thread.
  void read(const std::function<void(const nlohmann::json&)>& on_message);
  void flush(double seconds);  // wait until everything is written, at most so long

 private:
  void write_queued();
  int fd_ = -1;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::vector<uint8_t>> queue_;
  size_t queued_bytes_ = 0;
  bool writing_ = false;
  bool closed_ = false;
  std::thread writer_;
};

}  // namespace dmi::host
