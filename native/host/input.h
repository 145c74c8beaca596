// What a thread reads as its standard input: what `dmi run` reads, asked for when the thread wants it and not before.
//
// A request names the offset in the stream at which the thread stands, and whoever gives answers with the bytes from there on.
// So both may be lost or come twice: a request is repeated, and an answer that does not continue the stream is dropped. The
// thread takes its place in the stream, and what it has not read yet, along when it moves.
//
// A call that waits is one that sleeps until it is served again from its beginning: when something has come, when it is time
// to ask again, and when the thread has been at rest, here or on another host. Nothing of the wait itself has to be moved.
#pragma once
#include <cstdint>
#include <string>

#include "context.h"

namespace dmi::host {

class Reader;
class Writer;

// Guarded by Guest::lock; the mover's while the guest is paused.
struct Input {
  // On the guest's stack: waits, and is served again. First, as whoever puts the guest on looks at it.
  SystemCall* call = nullptr;
  int64_t until = 0;     // and how long it waits: CLOCK_MONOTONIC, ns
  uint64_t offset = 0;   // in the stream, of what comes after `unread`
  std::string unread;    // changes only while nothing is left of it
  size_t taken = 0;      // of `unread`, bytes
  bool end = true;       // nothing comes after `unread`: so for all threads but the job's first
  int64_t ask_at = 0;    // not again before then: an answer may be under way
  int64_t patience = 0;  // ns between the last two requests

  size_t left() const { return unread.size() - taken; }
  bool ready() const { return left() > 0 || end; }
  // The thread has stood still, during which answers are dropped: what it waits for is asked for anew.
  void forget_request() { ask_at = patience = 0; }
  // At rest. What is written can be read on any host.
  void save(Writer& w) const;
  void load(Reader& r);
};

}  // namespace dmi::host
