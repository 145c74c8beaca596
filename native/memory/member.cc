// Member: the engine (core/) on real sockets (transport/).
//
// Every call of the engine happens under `lock_`. Still under it, what the engine wants sent is queued at the peers, so
// that the order of two threads' frames is the order of their engine calls; after it, the queues are written and the
// callbacks are made.
#include "member.h"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <mutex>
#include <stdexcept>

#include "core/engine.h"
#include "core/frame_memory.h"
#include "transport/transport.h"

namespace dmi::memory {
namespace {

using transport::LinkKind;
using transport::SpinMutex;
using transport::Transport;

bool share_memory() {
  const char* said = std::getenv("DMI_SHARED_MEMORY");
  return !said || std::string_view(said) != "0";
}

// What is left to do of an engine call when the lock has been released.
struct Aftermath {
  static constexpr size_t kFew = 8;
  std::array<Transport::Peer*, kFew> few{};  // peers whose queues are to be written, each once
  size_t count = 0;
  std::vector<Transport::Peer*> many;        // the rest, perhaps more than once
  std::vector<Op*> done;
  std::vector<FunctionCall*> functions;
  std::vector<Outbox::Log> logs;
  std::vector<MemberId> hang_up;
  bool drained = false;
  bool soon = false;  // the peers' queues need not be written at once
  bool more = false;  // an operation has been begun in part
  bool held = false;  // the engine keeps operations until release()

  void add(Transport::Peer* peer) {
    for (size_t i = 0; i < count; i++)
      if (few[i] == peer) return;
    if (count < kFew)
      few[count++] = peer;
    else
      many.push_back(peer);
  }
};

class MemberImpl final : public Member, private transport::FrameHandler {
 public:
  MemberImpl(MemberConfig config, MemberCallbacks callbacks)
      : config_(std::move(config)),
        callbacks_(std::move(callbacks)),
        engine_(Engine::create({config_.self, config_.state, config_.pool, seed()})),
        transport_({{config_.job, config_.key, config_.build, config_.self},
                    config_.bind_host,
                    config_.bind_port,
                    config_.peer_timeout,
                    config_.spin_us,
                    config_.share.value_or(share_memory())},
                   *this, {callbacks_.unreachable, callbacks_.stream, callbacks_.log}) {
    if (config_.share.value_or(share_memory())) FrameMemory::begin();
    transport_.start();
  }

  uint16_t port() const override { return transport_.port(); }

  void apply(ViewChange change) override {
    // First the transport: afterwards no frame of a gone member is under way, into whatever buffer.
    for (const auto id : change.gone)
      if (id != config_.self) transport_.forget(id);
    if (change.full) {  // who was in the view and is not named any more has left
      for (const auto& known : members()) {
        const auto named = [&](const MemberInfo& m) { return m.id == known.id; };
        if (known.id != config_.self && std::none_of(change.members.begin(), change.members.end(), named))
          transport_.forget(known.id);
      }
    }
    for (const auto& m : change.members)
      if (m.id != config_.self) transport_.know(m.id, m.host, m.port);
    call([&] { engine_->apply(change, out_); });
  }
  uint64_t epoch() const override {
    std::lock_guard lock(lock_);
    return engine_->epoch();
  }

  bool submit(Op* op) override {
    return ask([&] { return engine_->submit(op, out_); });
  }
  void park(Op* op) override {
    call([&] { engine_->park(op, out_); });
  }
  bool resume(Op* op) override {
    return ask([&] { return engine_->resume(op, out_); });
  }
  void function_done(FunctionCall* done) override {
    call([&] { engine_->function_done(done, out_); });
  }

  int try_read(GlobalAddr addr, int64_t size, void* to, Mode mode) noexcept override {
    return engine_->try_read(addr, size, to, mode);
  }
  int try_write(GlobalAddr addr, int64_t size, const void* from, Mode mode) noexcept override {
    return engine_->try_write(addr, size, from, mode);
  }
  int try_fad(GlobalAddr addr, int64_t add, int64_t* fetched) noexcept override {
    return engine_->try_fad(addr, add, fetched);
  }

  void flush() override {
    transport_.flush_held();
    if (engine_->wants_flush()) call([&] { engine_->flush(out_); });
  }
  bool wants_flush() const noexcept override { return engine_->wants_flush(); }
  bool poll(int spin_us) override { return transport_.poll(spin_us); }

  void send_app(MemberId to, std::span<const std::byte> bytes) override {
    auto copy = std::make_shared<std::vector<std::byte>>(bytes.begin(), bytes.end());
    if (to == config_.self) {
      transport_.defer([this, copy] { app(config_.self, *copy); });
      return;
    }
    Frame frame;
    frame.body.push_back({copy->data(), copy->size(), copy});
    transport_.flush(transport_.push(to, LinkKind::App, std::move(frame)));
  }
  int open_stream(MemberId to, std::string_view service, std::span<const std::byte> extra, double timeout) override {
    return transport_.open_stream(to, service, extra, timeout);
  }

  void drain() override {
    call([&] { engine_->drain(out_); });
  }
  MemberStats stats() const override {
    const auto counted = transport_.counters();
    std::lock_guard lock(lock_);
    auto stats = engine_->stats();
    stats.messages_sent = counted.messages_sent;
    stats.messages_received = counted.messages_received;
    stats.bytes_sent = counted.bytes_sent;
    stats.bytes_received = counted.bytes_received;
    return stats;
  }
  std::vector<MemberInfo> members() const override {
    std::lock_guard lock(lock_);
    return engine_->members();
  }

 private:
  static uint64_t seed() {
    uint64_t value;
    randombytes_buf(&value, sizeof value);
    return value;
  }

  template <class F>
  void call(F&& f) {
    ask([&] {
      f();
      return true;
    });
  }
  template <class F>
  bool ask(F&& f) {
    std::unique_lock lock(lock_);
    const bool result = f();
    if (out_.empty()) out_.may_wait = false;
    else settle(lock);
    return result;
  }
  [[gnu::noinline]] void settle(std::unique_lock<SpinMutex>& lock) {
    Aftermath rest;
    collect(rest);
    lock.unlock();
    finish(rest);
  }

  // Under the lock.
  void collect(Aftermath& rest) {
    rest.more = std::exchange(out_.more, false);
    rest.held = std::exchange(out_.held, false);
    rest.soon = std::exchange(out_.may_wait, false) && !out_.sends.empty();
    for (const auto& send : out_.sends) rest.soon &= send.frame.body.empty();
    for (auto& send : out_.sends) rest.add(transport_.push(send.to, LinkKind::Engine, std::move(send.frame)));
    out_.sends.clear();
    if (!out_.done.empty()) rest.done.swap(out_.done);
    if (!out_.functions.empty()) rest.functions.swap(out_.functions);
    if (!out_.logs.empty()) rest.logs.swap(out_.logs);
    if (!out_.hang_up.empty()) rest.hang_up.swap(out_.hang_up);
    rest.drained = std::exchange(out_.drained, false);
  }

  // Without it.
  void finish(Aftermath& rest) {
    perform(rest);
    for (bool more = rest.more; more;) {
      Aftermath next;
      {
        std::lock_guard lock(lock_);
        engine_->proceed(out_);
        collect(next);
      }
      perform(next);
      more = next.more;
    }
  }
  void perform(Aftermath& rest) {
    for (size_t i = 0; i < rest.count; i++) rest.soon ? transport_.flush_soon(rest.few[i]) : transport_.flush(rest.few[i]);
    for (auto* peer : rest.many) transport_.flush(peer);
    if (rest.held) transport_.hold();
    if (!rest.done.empty()) {
      for (auto* op : rest.done)
        if (callbacks_.done) callbacks_.done(op);
      transport_.happened();
    }
    for (auto* function : rest.functions) {
      if (callbacks_.run_function) {
        callbacks_.run_function(function);
      } else {
        function->error = ENOSYS;
        function_done(function);
      }
    }
    for (const auto& log : rest.logs)
      if (callbacks_.log) callbacks_.log(log.level, log.line);
    for (const auto id : rest.hang_up) transport_.hang_up(id, "it broke the protocol");
    // Drained is told when the others have everything, not only when it was sent: the host may end then.
    if (rest.drained)
      transport_.when_quiet([this] {
        if (callbacks_.drained) callbacks_.drained();
      });
  }

  // ---- FrameHandler
  void begin() override { lock_.lock(); }
  std::byte* sink(MemberId from, std::span<const std::byte> head, size_t body_size) override {
    return engine_->sink(from, head, body_size);
  }
  void frame(MemberId from, std::span<const std::byte> head, std::span<const std::byte> body) override {
    engine_->receive(from, head, body, out_);
  }
  void end() override {
    Aftermath rest;
    collect(rest);
    lock_.unlock();
    finish(rest);
  }
  void release() override {
    call([&] { engine_->release(out_); });
  }
  void app(MemberId from, std::span<const std::byte> bytes) override {
    if (callbacks_.app) callbacks_.app(from, bytes);
  }

  const MemberConfig config_;
  const MemberCallbacks callbacks_;
  mutable SpinMutex lock_;  // engine_ (but try_* and wants_flush) and out_
  std::unique_ptr<Engine> engine_;
  Outbox out_;              // empty between calls; kept for its capacity
  Transport transport_;     // last: its threads end first
};

}  // namespace

std::unique_ptr<Member> Member::start(MemberConfig config, MemberCallbacks callbacks) {
  if (sodium_init() < 0) throw std::runtime_error("libsodium cannot be initialised");
  return std::make_unique<MemberImpl>(std::move(config), std::move(callbacks));
}

}  // namespace dmi::memory
