// A guest's file descriptors: its own small numbers, each naming an open file of the host.
//
// Regular files and directories move with the thread: they are opened again by path at the destination, at the same
// offset. The console (0, 1, 2) stays attached to `dmi run`. Anything else (sockets, pipes, …) pins the thread.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "codec.h"

namespace dmi::host {

enum class FileKind : uint8_t {
  Input,     // standard input (input.h)
  Output,    // standard output
  Error,     // standard error
  Regular,   // reopened by path after a move
  Directory,
  Device,    // /dev/null, /dev/urandom, …: reopened by path
  Pinned,    // sockets, pipes and other kernel objects
};

struct OpenFile {
  FileKind kind = FileKind::Pinned;
  int real = -1;         // the host's descriptor
  int flags = 0;         // as given to open
  std::string path;      // absolute, as the guest sees it
  std::string what;      // for people: "socket", "pipe", …
  bool locked = false;   // holds a file lock: pins
  ~OpenFile();
};

class Descriptors {
 public:
  struct Slot {
    std::shared_ptr<OpenFile> file;
    bool close_on_exec = false;
  };

  void open_console();                                    // 0, 1, 2
  int add(std::shared_ptr<OpenFile> file, bool close_on_exec, int lowest = 0);  // a number, or -EMFILE
  int put(int at, std::shared_ptr<OpenFile> file, bool close_on_exec);
  int close(int fd);                                      // 0 or -EBADF
  void close_all() { slots_.clear(); }
  OpenFile* get(int fd) const {
    return fd >= 0 && static_cast<size_t>(fd) < slots_.size() ? slots_[static_cast<size_t>(fd)].file.get() : nullptr;
  }
  Slot* slot(int fd) { return get(fd) ? &slots_[static_cast<size_t>(fd)] : nullptr; }
  int count() const { return static_cast<int>(slots_.size()); }

  std::string pinned() const;                             // why the thread cannot move; empty: it can
  void save(Writer& w) const;
  // Reopens everything. Throws Error("refused") naming the file that is not there.
  void load(Reader& r);

 private:
  std::vector<Slot> slots_;
};

}  // namespace dmi::host
