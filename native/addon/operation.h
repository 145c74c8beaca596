// One operation between JavaScript and the engine: its arguments, what keeps their buffers alive, and its callback.
#pragma once
#include <napi.h>

#include <vector>

#include "memory/member.h"

namespace dmi::addon {

struct Operation {
  memory::Op op;
  std::vector<memory::Piece> pieces;
  std::vector<Napi::ObjectReference> buffers;  // in use by the engine until the operation completes
  Napi::FunctionReference done;
};

// Fills in the operation from a `NativeOp` (packages/global-memory/src/native.ts). Throws Napi::TypeError naming the
// member that does not fit; the package checks before, so that is a bug there.
void read_operation(Operation& to, const Napi::Object& from);
// A `NativeResult`.
Napi::Object make_result(Napi::Env env, const memory::Op& op);

int64_t to_int64(const Napi::Value& value, const char* name);
std::string to_text(const Napi::Object& from, const char* name);

}  // namespace dmi::addon
