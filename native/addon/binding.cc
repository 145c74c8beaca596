// The addon: class NativeMember of packages/global-memory/src/native.ts, which declares this boundary.
//
// Threads: JavaScript calls come on its thread. The engine's callbacks come on any thread: they put what happened into a
// mailbox and ring a thread-safe function, at most once until JavaScript has emptied it.
#include <napi.h>

#include <deque>
#include <mutex>
#include <set>
#include <system_error>

#include "operation.h"

namespace dmi::addon {
namespace {

using namespace dmi::memory;

// What the engine's threads have to tell JavaScript.
struct Happenings {
  std::vector<Operation*> done;
  struct Log { int level; std::string line; };
  std::vector<Log> logs;
  struct Unreachable { MemberId member; std::string why; };
  std::vector<Unreachable> unreachable;
};

class NativeMember : public Napi::ObjectWrap<NativeMember> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeMember",
                       {InstanceMethod("applyView", &NativeMember::apply_view),
                        InstanceMethod("submit", &NativeMember::submit), InstanceMethod("stats", &NativeMember::stats),
                        InstanceMethod("members", &NativeMember::members), InstanceMethod("close", &NativeMember::close),
                        InstanceAccessor<&NativeMember::port>("port"),
                        InstanceAccessor<&NativeMember::epoch>("epoch")});
  }

  // NativeConfig, then what is called on "log" and "unreachable".
  explicit NativeMember(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    Napi::Env env = info.Env();
    if (info.Length() < 2 || !info[0].IsObject() || !info[1].IsFunction())
      throw Napi::TypeError::New(env, "NativeMember(config, onEvent)");
    const auto from = info[0].As<Napi::Object>();
    const auto key = from.Get("key");
    if (!key.IsTypedArray() || key.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
      throw Napi::TypeError::New(env, "key must be a Uint8Array");
    auto secret = key.As<Napi::Uint8Array>();
    MemberConfig config;
    config.job = to_text(from, "job");
    config.key.assign(reinterpret_cast<const char*>(secret.Data()), secret.ByteLength());
    config.build = to_text(from, "build");
    config.self = static_cast<MemberId>(to_int64(from.Get("member"), "member"));
    config.state = to_text(from, "state") == "active" ? MemberState::Active : MemberState::Lite;
    config.bind_host = to_text(from, "bindHost");
    config.bind_port = static_cast<uint16_t>(to_int64(from.Get("bindPort"), "bindPort"));
    config.pool = to_int64(from.Get("pool"), "pool");
    config.peer_timeout = from.Get("peerTimeout").ToNumber();

    on_event_ = Napi::Persistent(info[1].As<Napi::Function>());
    MemberCallbacks callbacks;
    callbacks.done = [this](Op* op) { tell([&](Happenings& h) { h.done.push_back(static_cast<Operation*>(op->user)); }); };
    callbacks.log = [this](int level, std::string_view line) {
      if (level >= 30) tell([&](Happenings& h) { h.logs.push_back({level, std::string(line)}); });
    };
    callbacks.unreachable = [this](MemberId member, std::string_view why) {
      tell([&](Happenings& h) { h.unreachable.push_back({member, std::string(why)}); });
    };
    try {
      member_ = Member::start(std::move(config), std::move(callbacks));
    } catch (const std::exception& error) {
      auto failure = Napi::Error::New(env, error.what());
      if (const auto* system = dynamic_cast<const std::system_error*>(&error))
        failure.Set("errno", Napi::Number::New(env, system->code().value()));
      throw failure;
    }
    // A ring may be under way when the member ends: the object lives until the bell is gone.
    bell_ = Napi::ThreadSafeFunction::New(env, Napi::Function::New(env, [](const Napi::CallbackInfo&) {}), "dmi-memory", 0,
                                          1, [this](Napi::Env) { Unref(); });
    Ref();
    bell_.Unref(env);  // an idle member does not keep the program alive; operations under way do
    {
      std::lock_guard lock(mutex_);
      open_ = true;
    }
    hook_ = env.AddCleanupHook(&NativeMember::at_exit, this);
  }

 private:
  static void at_exit(NativeMember* self) { self->end(); }

  // From any thread.
  template <class F>
  void tell(F&& f) {
    std::lock_guard lock(mutex_);
    f(happenings_);
    if (rung_ || !open_) return;
    rung_ = true;
    bell_.NonBlockingCall(this, [](Napi::Env env, Napi::Function, NativeMember* self) { self->empty(env); });
  }

  // On JavaScript's thread: everything that has happened.
  void empty(Napi::Env env) {
    Happenings now;
    {
      std::lock_guard lock(mutex_);
      rung_ = false;
      std::swap(now, happenings_);
    }
    for (auto* operation : now.done) {
      const Napi::HandleScope scope(env);
      const auto done = operation->done.Value();
      const auto result = make_result(env, operation->op);
      retire(env, operation);
      done.Call({result});
      if (!member_) return;  // the callback has closed it; the rest was rejected
    }
    for (const auto& log : now.logs) {
      const Napi::HandleScope scope(env);
      on_event_.Call({Napi::String::New(env, "log"), Napi::Number::New(env, log.level), Napi::String::New(env, log.line)});
    }
    for (const auto& lost : now.unreachable) {
      const Napi::HandleScope scope(env);
      on_event_.Call({Napi::String::New(env, "unreachable"), Napi::Number::New(env, lost.member), Napi::String::New(env, lost.why)});
    }
  }

  void retire(Napi::Env env, Operation* operation) {
    operations_.erase(operation);
    delete operation;
    if (operations_.empty()) bell_.Unref(env);
  }

  Member& alive(Napi::Env env) {
    if (!member_) throw Napi::Error::New(env, "the member is closed");
    return *member_;
  }

  // submit(op, done): the result when the operation is complete at once, else null and done(result) is called later.
  Napi::Value submit(const Napi::CallbackInfo& info) {
    const auto env = info.Env();
    auto& member = alive(env);
    if (info.Length() < 2 || !info[0].IsObject() || !info[1].IsFunction())
      throw Napi::TypeError::New(env, "submit(op, done)");
    auto operation = std::make_unique<Operation>();
    read_operation(*operation, info[0].As<Napi::Object>());
    if (hit(member, *operation)) return make_result(env, operation->op);
    operation->done = Napi::Persistent(info[1].As<Napi::Function>());
    operation->op.user = operation.get();
    auto* const raw = operation.get();
    if (member.submit(&raw->op)) return make_result(env, raw->op);
    if (operations_.empty()) bell_.Ref(env);
    operations_.insert(operation.release());
    member.flush();  // there is no other thread here whose arrival at a barrier could be waited for
    return env.Null();
  }

  // A single piece that is here needs neither lock nor message.
  static bool hit(Member& member, const Operation& operation) {
    const auto& op = operation.op;
    if (operation.pieces.size() != 1) return false;
    const auto& piece = operation.pieces[0];
    if (op.kind == OpKind::Read) return member.try_read(piece.addr, piece.size, piece.ptr, op.mode) == 1;
    if (op.kind == OpKind::Write) return member.try_write(piece.addr, piece.size, piece.ptr, op.mode) == 1;
    return false;
  }

  // NativeView
  void apply_view(const Napi::CallbackInfo& info) {
    auto& member = alive(info.Env());
    const auto from = info[0].As<Napi::Object>();
    ViewChange change;
    change.epoch = static_cast<uint64_t>(to_int64(from.Get("epoch"), "epoch"));
    change.full = from.Get("full").ToBoolean();
    const auto members = from.Get("members").As<Napi::Array>();
    for (uint32_t i = 0; i < members.Length(); i++) {
      const auto m = members.Get(i).As<Napi::Object>();
      const auto state = to_text(m, "state");
      change.members.push_back({static_cast<MemberId>(to_int64(m.Get("id"), "id")),
                                state == "active"     ? MemberState::Active
                                : state == "draining" ? MemberState::Draining
                                                      : MemberState::Lite,
                                to_text(m, "host"), static_cast<uint16_t>(to_int64(m.Get("port"), "port")),
                                static_cast<int32_t>(to_int64(m.Get("cores"), "cores")), to_int64(m.Get("pool"), "pool"),
                                to_text(m, "hostname")});
    }
    const auto gone = from.Get("gone").As<Napi::Array>();
    for (uint32_t i = 0; i < gone.Length(); i++)
      change.gone.push_back(static_cast<MemberId>(to_int64(gone.Get(i), "gone[]")));
    const auto shards = from.Get("shards").As<Napi::Array>();
    for (uint32_t i = 0; i < shards.Length(); i++) {
      const auto range = shards.Get(i).As<Napi::Array>();
      change.shards.push_back({static_cast<uint32_t>(to_int64(range.Get(0u), "shards[][0]")),
                               static_cast<uint32_t>(to_int64(range.Get(1u), "shards[][1]")),
                               static_cast<MemberId>(to_int64(range.Get(2u), "shards[][2]"))});
    }
    member.apply(std::move(change));
  }

  Napi::Value port(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), alive(info.Env()).port()); }
  Napi::Value epoch(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(alive(info.Env()).epoch()));
  }

  Napi::Value stats(const Napi::CallbackInfo& info) {
    const auto env = info.Env();
    const auto s = alive(env).stats();
    auto result = Napi::Object::New(env);
    const auto put = [&](const char* name, auto value) { result.Set(name, Napi::Number::New(env, static_cast<double>(value))); };
    put("pagesOwned", s.pages_owned);
    put("pagesCached", s.pages_cached);
    put("bytesOwned", s.bytes_owned);
    put("bytesCached", s.bytes_cached);
    put("messagesSent", s.messages_sent);
    put("messagesReceived", s.messages_received);
    put("bytesSent", s.bytes_sent);
    put("bytesReceived", s.bytes_received);
    put("pagesFetched", s.pages_fetched);
    return result;
  }

  Napi::Value members(const Napi::CallbackInfo& info) {
    const auto env = info.Env();
    auto list = Napi::Array::New(env);
    for (const auto& m : alive(env).members()) {
      auto item = Napi::Object::New(env);
      item.Set("id", Napi::Number::New(env, m.id));
      item.Set("state", Napi::String::New(env, m.state == MemberState::Active     ? "active"
                                               : m.state == MemberState::Draining ? "draining"
                                                                                  : "lite"));
      item.Set("host", Napi::String::New(env, m.host));
      item.Set("port", Napi::Number::New(env, m.port));
      item.Set("cores", Napi::Number::New(env, m.cores));
      item.Set("pool", Napi::Number::New(env, static_cast<double>(m.pool)));
      item.Set("hostname", Napi::String::New(env, m.hostname));
      list.Set(list.Length(), item);
    }
    return list;
  }

  void close(const Napi::CallbackInfo& info) {
    if (!member_) return;
    hook_.Remove(info.Env());
    end();
  }

  // Operations under way end without their callbacks: the package has rejected their promises.
  void end() {
    if (!member_) return;
    {
      std::lock_guard lock(mutex_);
      open_ = false;
    }
    member_.reset();  // joins its thread: nothing is told from here on
    happenings_ = {};
    for (auto* operation : operations_) delete operation;
    operations_.clear();
    bell_.Release();
  }

  std::unique_ptr<Member> member_;
  Napi::Env::CleanupHook<void (*)(NativeMember*), NativeMember> hook_;
  Napi::ThreadSafeFunction bell_;
  Napi::FunctionReference on_event_;
  std::set<Operation*> operations_;  // under way; JavaScript's thread only

  std::mutex mutex_;  // the rest
  Happenings happenings_;
  bool rung_ = false, open_ = false;  // open: there is a bell
};

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("NativeMember", NativeMember::define(env));
  return exports;
}

}  // namespace

NODE_API_MODULE(dmi, init)

}  // namespace dmi::addon
