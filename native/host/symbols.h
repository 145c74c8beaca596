// Names for addresses in a guest: which function of which file.
#pragma once
#include <cstdint>
#include <string>

#include "address_space.h"

namespace dmi::host {
// "main+0x12 (fem)"; "" when the address is in no mapped file. Reads the file's symbol table: slow, for reports.
std::string symbolize(const AddressSpace& space, uint64_t address);
}  // namespace dmi::host
