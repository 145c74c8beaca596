// What guests print, cut into lines: each line reaches the terminal whole.
#pragma once
#include <mutex>
#include <string>
#include <unordered_map>

#include "guest.h"

namespace dmi::host {

class Output {
 public:
  // stream 1 or 2. Worker, on behalf of the guest. May block while the agent is slow to read.
  void write(ThreadKey thread, int stream, const char* data, size_t size);
  void flush(ThreadKey thread);  // the thread ends: what is left of its last line goes out
  // A move takes the unfinished line along: it leaves with the thread, and is put back at the destination.
  std::string peek(ThreadKey thread, int stream);
  std::string take(ThreadKey thread, int stream);
  void preset(ThreadKey thread, int stream, const std::string& line);

 private:
  std::mutex mutex_;
  std::unordered_map<ThreadKey, std::string> partial_[2];
};

}  // namespace dmi::host
