// One error type for the host: a stable code and a sentence that names the object and says what to do next.
#pragma once
#include <stdexcept>
#include <string>

namespace dmi::host {

struct Error : std::runtime_error {
  std::string code;  // as in the control channel's `moved` message, or "bad-program", "no-memory", …
  Error(std::string code_, const std::string& sentence) : std::runtime_error(sentence), code(std::move(code_)) {}
};

}  // namespace dmi::host
