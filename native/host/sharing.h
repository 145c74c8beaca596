// Named export and import of memory between threads of one host (sharing.cc). There is one per host.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

namespace dmi::host {

struct Guest;

struct SharedMemory {
  void* start = nullptr;
  int64_t size = 0;  // bytes
};

struct Import {
  SharedMemory memory;
  std::shared_ptr<Guest> from;  // keeps its memory mapped; null: the importer itself
};

class Sharing {
 public:
  struct Answer {
    int error = 0;  // errno; 0: done
    std::string why;
  };
  // On the worker that runs `g`.
  Answer export_memory(Guest& g, const std::string& name, void* start, int64_t size);
  Answer withdraw(Guest& g, const std::string& name);
  Answer import_memory(Guest& g, std::shared_ptr<Guest> from, const std::string& who, const std::string& name, SharedMemory& memory);
  Answer give_back(Guest& g, void* start);
  void end(Guest& g);  // the guest has ended
  static bool name_of(const Guest& g, const char* at, std::string& name);  // false: it is not in the guest's memory
  static std::string why_pinned(const Guest& g);  // at rest only; empty: it shares nothing

 private:
  std::mutex mutex_;
};

}  // namespace dmi::host
