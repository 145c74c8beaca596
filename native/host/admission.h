// How much thread memory may be on its way to this host: what arrives must find room in memory, or the whole machine would slow down
// or lose a process. Each arrival is promised its bytes before any is sent; what has come counts as used by then and is promised no more.
//
// Invariant: promised_ is the sum over all tickets of what has not come yet.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace dmi::host {

class Admission {
 public:
  // A promise, until it is given up. One thread.
  class Ticket {
   public:
    Ticket(Admission& to, uint64_t bytes) : to_(&to), left_(bytes) {}
    Ticket(Ticket&& o) noexcept : to_(o.to_), left_(std::exchange(o.left_, 0)) {}
    Ticket& operator=(Ticket&&) = delete;
    ~Ticket() { came(left_); }
    void came(uint64_t bytes);  // so many bytes are in place

   private:
    Admission* to_;
    uint64_t left_;
  };

  // `room`: bytes that can be used now, asked for at every arrival.
  explicit Admission(std::function<uint64_t()> room) : room_(std::move(room)) {}
  // Nothing: there is no room; `why` says so with numbers. Any thread.
  std::optional<Ticket> admit(uint64_t bytes, std::string& why);

 private:
  std::function<uint64_t()> room_;
  std::mutex mutex_;  // between looking and promising
  std::atomic<uint64_t> promised_{0};
};

// What this process can use: the machine's available memory, the rest of its control group's limit, and of DMI_HOST_MEMORY (bytes; for
// machines that are shared, and tests), whichever is least, less a reserve.
uint64_t memory_room();

std::string size_text(uint64_t bytes);  // "1.5 GiB"

}  // namespace dmi::host
