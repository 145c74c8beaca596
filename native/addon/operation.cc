#include "operation.h"

#include <cmath>

namespace dmi::addon {
namespace {

using memory::Mode;
using memory::OpKind;

[[noreturn]] void misfit(Napi::Env env, const char* name, const char* expected) {
  throw Napi::TypeError::New(env, std::string(name) + " must be " + expected);
}

int32_t to_int32(const Napi::Object& from, const char* name) {
  const auto value = from.Get(name);
  if (!value.IsNumber()) misfit(from.Env(), name, "a number");
  return value.As<Napi::Number>().Int32Value();
}

// The bytes of a Uint8Array member; empty for null. Keeps the array alive.
std::span<std::byte> to_bytes(Operation& to, const Napi::Value& value, const char* name) {
  if (value.IsNull()) return {};
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
    misfit(value.Env(), name, "a Uint8Array or null");
  auto array = value.As<Napi::Uint8Array>();
  to.buffers.push_back(Napi::Persistent(value.As<Napi::Object>()));
  return {reinterpret_cast<std::byte*>(array.Data()), array.ByteLength()};
}

}  // namespace

int64_t to_int64(const Napi::Value& value, const char* name) {
  if (value.IsBigInt()) {
    bool lossless = false;
    const auto result = value.As<Napi::BigInt>().Int64Value(&lossless);
    if (!lossless) misfit(value.Env(), name, "a bigint of 64 bits");
    return result;
  }
  if (!value.IsNumber()) misfit(value.Env(), name, "a bigint or a safe integer");
  const double number = value.As<Napi::Number>().DoubleValue();
  if (std::floor(number) != number || std::fabs(number) > 9007199254740991.0) misfit(value.Env(), name, "a safe integer");
  return static_cast<int64_t>(number);
}

std::string to_text(const Napi::Object& from, const char* name) {
  const auto value = from.Get(name);
  if (!value.IsString()) misfit(from.Env(), name, "a string");
  return value.As<Napi::String>();
}

void read_operation(Operation& to, const Napi::Object& from) {
  auto& op = to.op;
  op.kind = static_cast<OpKind>(to_int32(from, "kind"));
  op.mode = static_cast<Mode>(to_int32(from, "mode"));
  op.reduce_op = static_cast<memory::ReduceOp>(to_int32(from, "reduceOp"));
  op.reduce_type = static_cast<memory::ReduceType>(to_int32(from, "reduceType"));
  op.pnum = to_int32(from, "count");
  op.addr = to_int64(from.Get("addr"), "addr");
  op.addr2 = to_int64(from.Get("addr2"), "addr2");
  op.size = to_int64(from.Get("size"), "size");
  op.value = to_int64(from.Get("value"), "value");
  op.thread = static_cast<memory::ThreadKey>(to_int64(from.Get("thread"), "thread"));
  const auto in = to_bytes(to, from.Get("in"), "in");
  const auto in2 = to_bytes(to, from.Get("in2"), "in2");
  const auto out = to_bytes(to, from.Get("out"), "out");
  op.in = in.data();
  op.in2 = in2.data();
  op.out = out.data();
  op.in_size = static_cast<int64_t>(in.size());
  op.out_size = static_cast<int64_t>(out.size());
  // What the engine reads or fills by `size` has to be that long.
  const auto size = static_cast<uint64_t>(op.size);
  const auto long_enough = [&](std::span<std::byte> bytes) { return op.size >= 0 && bytes.size() >= size; };
  const bool fits = op.kind == OpKind::Cas   ? long_enough(in) && long_enough(in2)
                    : op.kind == OpKind::Fas ? long_enough(in) && long_enough(out)
                    : op.kind == OpKind::Watch ? long_enough(in) && long_enough(out)
                    : op.kind == OpKind::Allreduce ? in.size() >= 8 && out.size() >= 8
                                                   : true;
  if (!fits) misfit(from.Env(), "in, in2 and out", "of the operation's size");

  const auto pieces = from.Get("pieces");
  if (pieces.IsNull()) return;
  if (!pieces.IsArray()) misfit(from.Env(), "pieces", "an array or null");
  const auto list = pieces.As<Napi::Array>();
  to.pieces.reserve(list.Length());
  for (uint32_t i = 0; i < list.Length(); i++) {
    const Napi::HandleScope scope(from.Env());
    const Napi::Value item = list.Get(i);
    if (!item.IsObject()) misfit(from.Env(), "pieces[]", "objects");
    const auto piece = item.As<Napi::Object>();
    const auto data = to_bytes(to, piece.Get("data"), "pieces[].data");
    to.pieces.push_back({to_int64(piece.Get("addr"), "pieces[].addr"), static_cast<int64_t>(data.size()), data.data()});
  }
  op.pieces = to.pieces;
}

Napi::Object make_result(Napi::Env env, const memory::Op& op) {
  auto result = Napi::Object::New(env);
  result.Set("error", Napi::Number::New(env, op.error));
  result.Set("message", Napi::String::New(env, op.message));
  result.Set("value", Napi::BigInt::New(env, op.value));
  return result;
}

}  // namespace dmi::addon
