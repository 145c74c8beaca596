// Makes a thread's region into a program about to run: what execve does, in user space.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "address_space.h"
#include "context.h"
#include "elf_image.h"

namespace dmi::host {

// Bytes below the stack where a fault means that it overflowed. Not a multiple of 2 MiB, as stacks are: so the last 256 KiB of the
// stack, which are all that most programs use, and the image behind it are under one page of the page table.
constexpr uint64_t kStackGuard = (2 << 20) + (256 << 10);

struct Program {
  std::shared_ptr<ElfImage> executable;
  std::shared_ptr<ElfImage> interpreter;  // null: static
  std::shared_ptr<MappedFile> executable_file, interpreter_file;
};

struct LoadRequest {
  const Program* program = nullptr;
  Zone zone;
  uint64_t region = 0;      // bytes
  uint64_t stack = 0;       // bytes
  std::vector<std::string> argv;
  std::vector<std::string> env;
};

// Maps the program into a fresh region of `space` and leaves in `context` a guest that starts at its entry point. Any
// thread. Throws Error("bad-program" | "no-address" | "no-memory").
void load_program(const LoadRequest& request, AddressSpace& space, Context& context);

}  // namespace dmi::host
