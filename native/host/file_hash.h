// Content identity of files.
#pragma once
#include <string>

namespace dmi::host {

std::string hash_file(const std::string& real);  // SHA-256, hex; empty: cannot be read. Remembers by path, size and time.

}  // namespace dmi::host
