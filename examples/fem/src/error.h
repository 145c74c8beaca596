// The one error type: its message is one line that names the object, says what is wrong and what to do about it.
#pragma once

#include <stdexcept>
#include <string>

namespace fem {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A place in a deck; prints as "plate.inp:12".
struct Where {
  std::string file;
  int line = 0;
  std::string text() const { return file + ":" + std::to_string(line); }
};

[[noreturn]] inline void fail(const Where& where, const std::string& message) {
  throw Error(where.text() + ": " + message);
}

}  // namespace fem
