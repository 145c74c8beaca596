#include "output.h"

#include <cstring>

#include "host.h"

namespace dmi::host {
namespace {
constexpr size_t kLongestLine = 256 << 10;  // bytes; longer ones are passed on in parts
constexpr size_t kLargestMessage = 1 << 20;

void send(ThreadKey thread, int stream, std::string data) {
  for (size_t at = 0; at < data.size(); at += kLargestMessage) {
    const auto* p = reinterpret_cast<const uint8_t*>(data.data()) + at;
    std::vector<uint8_t> part(p, p + std::min(kLargestMessage, data.size() - at));
    Host::get().control().send({{"t", "output"},
                                {"thread", thread_name(thread)},
                                {"stream", stream},
                                {"data", nlohmann::json::binary(std::move(part))}});
  }
}
}  // namespace

void Output::write(ThreadKey thread, int stream, const char* data, size_t size) {
  std::string out;
  {
    std::lock_guard hold(mutex_);
    std::string& line = partial_[stream - 1][thread];
    const auto* last = static_cast<const char*>(memrchr(data, '\n', size));
    const size_t whole = last ? static_cast<size_t>(last - data) + 1 : 0;
    if (whole > 0) {
      out = std::move(line);
      out.append(data, whole);
      line.clear();
    }
    line.append(data + whole, size - whole);
    if (line.size() > kLongestLine) out += std::move(line), line.clear();
  }
  if (!out.empty()) send(thread, stream, std::move(out));
}

std::string Output::take(ThreadKey thread, int stream) {
  std::lock_guard hold(mutex_);
  auto& map = partial_[stream - 1];
  auto it = map.find(thread);
  if (it == map.end()) return {};
  std::string s = std::move(it->second);
  map.erase(it);
  return s;
}

std::string Output::peek(ThreadKey thread, int stream) {
  std::lock_guard hold(mutex_);
  auto& map = partial_[stream - 1];
  auto it = map.find(thread);
  return it == map.end() ? std::string{} : it->second;
}

void Output::preset(ThreadKey thread, int stream, const std::string& line) {
  std::lock_guard hold(mutex_);
  if (line.empty()) partial_[stream - 1].erase(thread);
  else partial_[stream - 1][thread] = line;
}

void Output::flush(ThreadKey thread) {
  for (int stream : {1, 2}) {
    std::string rest = take(thread, stream);
    if (!rest.empty()) send(thread, stream, std::move(rest));
  }
}

}  // namespace dmi::host
