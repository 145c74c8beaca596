// Sending of single messages; the templates that engine_impl.h declares.
#pragma once
#include "engine_impl.h"

namespace dmi::memory {

// One call from outside: what it causes goes to `out`, and frames to ourselves are handled before it returns.
struct EngineImpl::Entry {
  Entry(EngineImpl& e, Outbox& out) : engine(e) { e.out_ = &out; }
  ~Entry() {
    engine.pump();
    engine.out_ = nullptr;
  }
  EngineImpl& engine;
};

template <class M> void EngineImpl::emit(MemberId to, const M& m, Data data) {
  Frame frame;
  const bool is_inline = data.bytes.size() <= kInlineLimit;
  frame.head = encode(m, view_.epoch(), is_inline ? kInline : uint8_t{0}, is_inline ? data.bytes.size() : 0);
  if (is_inline) {
    Writer(frame.head).raw(data.bytes.data(), data.bytes.size());
  } else if (data.keep || data.stable) {
    frame.body.push_back({data.bytes.data(), data.bytes.size(), std::move(data.keep)});
  } else {
    auto copy = std::make_shared<std::vector<std::byte>>(data.bytes.begin(), data.bytes.end());
    frame.body.push_back({copy->data(), copy->size(), copy});
  }
  push_frame(to, std::move(frame));
}

template <class M> void EngineImpl::to_home(uint32_t shard, const M& m, Bytes data) {
  const auto home = view_.home(shard);
  if (home != kNoMember) return send(home, m, {data});
  Stored s{self_, encode(m, view_.epoch(), kInline, data.size()), {}};
  Writer(s.head).raw(data.data(), data.size());
  future_.emplace_back(view_.epoch() + 1, std::move(s));
}

}  // namespace dmi::memory
