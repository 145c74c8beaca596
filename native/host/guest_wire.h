// Everything of a thread at rest but its memory, as one host tells it to another.
#pragma once
#include "codec.h"
#include "guest.h"

namespace dmi::host {

void write_guest(Writer& w, Guest& g);
// Throws Error("refused") on nonsense, or when a file cannot be opened here. The guest is Paused then.
void read_guest(Reader& r, Guest& g);

}  // namespace dmi::host
