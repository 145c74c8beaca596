#include "host.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <fstream>

#include "build_id.h"
#include "layout.h"
#include "moves.h"
#include "platform.h"
#include "signal_frames.h"
#include "signals.h"
#include "symbols.h"
#include "syscalls.h"
#include "unwind.h"
#include "vdso.h"

namespace dmi::host {
namespace {

constexpr int64_t kPauseSpin = 50'000;  // ns
constexpr const char* kOwnProgram = "/proc/self/exe";  // the guest's, not the host's

Host* the_host = nullptr;
memory::Member* fast_member = nullptr;  // for the gate's fast entries, which must not look anything up

// Whether this may be the guest's. What is not is the slow path's to refuse, before a byte of the host is touched.
bool may_be_guests(const void* p, int64_t size) {
  const auto at = reinterpret_cast<uint64_t>(p);
  return in_zone(at) && static_cast<uint64_t>(size) <= kZoneHigh - at;
}

// The gate's fast entries: on the guest's stack, with the guest's FS base (see memory/member.h).
int64_t fast_read(int64_t addr, int64_t size, void* buf, int32_t mode) {
  if (!may_be_guests(buf, size)) return 0;
  return fast_member->try_read(addr, size, buf, static_cast<memory::Mode>(mode));
}
int64_t fast_write(int64_t addr, int64_t size, const void* buf, int32_t mode) {
  if (!may_be_guests(buf, size)) return 0;
  return fast_member->try_write(addr, size, buf, static_cast<memory::Mode>(mode));
}
int64_t fast_fad(int64_t addr, int64_t add, int64_t* fetched) { return fast_member->try_fad(addr, add, fetched); }

void map_gate() {
  void* p = mmap(reinterpret_cast<void*>(DMI_GATE_ADDRESS), kPage, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (p == MAP_FAILED) throw Error("host", std::string("cannot map the gate page: ") + strerror(errno));
  auto* gate = static_cast<dmi_gate*>(p);
  *gate = {};
  gate->magic = DMI_GATE_MAGIC;
  gate->version = DMI_GATE_VERSION;
  gate->size = sizeof(dmi_gate);
  gate->call = dmi_gate_call;
  gate->fast_read = fast_read;
  gate->fast_write = fast_write;
  gate->fast_fad = fast_fad;
  unsigned a = 0, b = 0, c = 0, d = 0;
  dmi_have_xsavec = __get_cpuid_count(13, 1, &a, &b, &c, &d) && (a & 2);
  gate->system_call = dmi_gate_system_call;
  map_vdso(*gate);
  mprotect(p, kPage, PROT_READ);
}

bool has_variable(const std::vector<std::string>& env, const std::string& name) {
  return std::any_of(env.begin(), env.end(), [&](const std::string& e) { return e.rfind(name + "=", 0) == 0; });
}

const char* operation_name(memory::OpKind kind) {
  using enum memory::OpKind;
  switch (kind) {
    case Mmap: return "mmap";
    case Munmap: return "munmap";
    case Read: return "read";
    case Write: return "write";
    case Cas: case Fas: case Fad: case Function: return "atomic";
    case Watch: return "watch";
    case Save: case Unsave: return "save";
    case MutexLock: case MutexTryLock: case MutexUnlock: return "mutex";
    case CondWait: case CondSignal: case CondBroadcast: return "condition";
    case Barrier: return "barrier";
    case Allreduce: return "allreduce";
    case ObjectDestroy: return "destroy";
    case EventWait: case EventDrop: case EventSet: return "join";
    case MailWait: case MailPost: return "suspend";
  }
  return "?";
}

// Here the program is a copy named after its content.
std::string with_program_name(std::string text, const JobConfig& config) {
  const auto last = [](const std::string& path) { return path.substr(path.rfind('/') + 1); };
  const std::string copy = "(" + last(config.program) + ")", name = "(" + last(config.argv.empty() ? config.program : config.argv[0]) + ")";
  for (size_t at = 0; (at = text.find(copy, at)) != std::string::npos; at += name.size()) text.replace(at, copy.size(), name);
  return text;
}

std::string hex(uint64_t v) {
  char buf[24];
  snprintf(buf, sizeof buf, "0x%llx", static_cast<unsigned long long>(v));
  return buf;
}

}  // namespace

Host& Host::get() {
  if (!the_host) the_host = new Host;  // lives as long as the process
  return *the_host;
}

void Host::begin(JobConfig config) {
  config_ = std::move(config);
  build_ = own_build_id();
  umask_ = ::umask(0);  // every thread has its own
  ticks_per_second();
  if (config_.zone.high == 0) config_.zone = {kZoneLow, kZoneHigh};
  if (config_.zone.low < kZoneLow || config_.zone.high > kZoneHigh || config_.zone.low >= config_.zone.high)
    throw Error("host", "the zone in the job message lies outside the thread zone");
  if (!config_.cwd.empty() && chdir(config_.cwd.c_str()) != 0) {
    control_.log(40, "the job's directory " + config_.cwd + " is not here (" + strerror(errno) + "): relative paths start at /");
    config_.cwd = "/";
    if (chdir("/") != 0) throw Error("host", "cannot enter /");
  }
  for (const char* v : {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"})  // a guest is single-threaded
    if (!has_variable(config_.env, v)) config_.env.push_back(std::string(v) + "=1");
  program_.executable = open_elf(config_.program, config_.program, "program");
  program_.executable_file = std::make_shared<MappedFile>(
      MappedFile{config_.program, config_.program, config_.hash, program_.executable->file_size});
  if (!program_.executable->interp.empty()) {
    const std::string name = program_.executable->interp, real = resolve_bundle(name);
    program_.interpreter = open_elf(name, real, "interpreter");
    program_.interpreter_file = std::make_shared<MappedFile>(MappedFile{name, real, bundle_hash(name), program_.interpreter->file_size});
  }
  moves_ = std::make_unique<Moves>();
  memory::MemberConfig m;
  m.job = config_.job;
  m.key = config_.key;
  m.build = build_;
  m.self = config_.member;
  m.state = config_.lite ? memory::MemberState::Lite : memory::MemberState::Active;
  m.bind_host = config_.bind;
  m.pool = config_.pool;
  m.peer_timeout = config_.peer_timeout;
  memory::MemberCallbacks c;
  c.done = [this](memory::Op* op) { operation_done(op); };
  c.run_function = [this](memory::FunctionCall* call) { run_function(call); };
  c.app = [this](memory::MemberId from, std::span<const std::byte> bytes) { app_message(from, bytes); };
  c.drained = [this] { control_.send({{"t", "drained"}}); };
  c.unreachable = [this](memory::MemberId id, std::string_view why) {
    control_.send({{"t", "unreachable"}, {"member", id}, {"reason", std::string(why)}});
  };
  c.stream = [this](int fd, std::string_view service, memory::MemberId from, std::span<const std::byte> extra) {
    moves_->incoming(fd, service, from, extra);
  };
  c.log = [this](int level, std::string_view line) { control_.log(level, std::string(line)); };
  departure_.empty = [this] {
    std::lock_guard hold(guests_mutex_);
    return std::all_of(guests_.begin(), guests_.end(), [](const auto& g) { return g.second->role == DMI_ROLE_FUNCTION; });
  };
  departure_.begin = [this] { member_->drain(); };
  member_ = memory::Member::start(m, c);
  fast_member = member_.get();
  map_gate();

  watch_host_faults([this](const HostFault& f) { fault_in_host(f); });
  scheduler_.on_paused = [this](Guest&) {
    std::lock_guard hold(pause_mutex_);
    pause_wake_.notify_all();
  };
  SchedulerHooks hooks;
  hooks.serve = [this](Worker& w, Guest& g) { return serve(w, g); };
  hooks.serve_again = [this](Worker& w, Guest& g) { return serve_again(w, g); };
  hooks.flush = [this] { member_->flush(); };
  hooks.unsent = [this] { return member_->wants_flush(); };
  hooks.idle_poll = [this](int) {
    // Spinning pays while answers come quickly; where it has not paid lately it is tried only now and then.
    thread_local int luck = 4, skipped = 0;
    if (!talks_.load(std::memory_order_relaxed)) return false;
    if (luck <= 0 && ++skipped % 8 != 0) return false;
    const bool got = member_->poll(50);
    luck = got ? std::min(luck + 2, 8) : std::max(luck - 1, 0);
    return got;
  };
  scheduler_.start(std::max(1, config_.workers), hooks);
}

void Host::apply_view(const nlohmann::json& view) {
  memory::ViewChange change;
  change.epoch = view.at("epoch").get<uint64_t>();
  change.full = view.value("full", false);
  std::unique_lock hold(peers_mutex_);
  std::set<memory::MemberId> left;
  if (change.full) {
    for (const Peer& p : peers_) left.insert(p.info.id);
    peers_.clear();
  }
  for (const auto& m : view.value("members", nlohmann::json::array())) {
    Peer p;
    p.info.id = m.at("id").get<int>();
    const auto state = m.at("state").get<std::string>();
    p.info.state = state == "draining" ? memory::MemberState::Draining : state == "lite" ? memory::MemberState::Lite : memory::MemberState::Active;
    p.info.host = m.at("host").get<std::string>();
    p.info.port = m.at("port").get<uint16_t>();
    p.info.cores = m.value("cores", 1);
    p.info.pool = m.value("pool", int64_t{0});
    p.info.hostname = m.value("hostname", std::string{});
    p.node = m.value("node", std::string{});
    change.members.push_back(p.info);
    left.erase(p.info.id);
    auto it = std::lower_bound(peers_.begin(), peers_.end(), p.info.id, [](const Peer& a, memory::MemberId id) { return a.info.id < id; });
    if (it != peers_.end() && it->info.id == p.info.id) *it = p;
    else peers_.insert(it, p);
  }
  for (const auto& id : view.value("gone", nlohmann::json::array())) {
    const int gone = id.get<int>();
    change.gone.push_back(gone);
    left.insert(gone);
    std::erase_if(peers_, [&](const Peer& p) { return p.info.id == gone; });
  }
  for (const auto& s : view.value("shards", nlohmann::json::array()))
    change.shards.push_back({s.at(0).get<uint32_t>(), s.at(1).get<uint32_t>(), s.at(2).get<int>()});
  talks_ = peers_.size() > 1;
  peers_changed_.notify_all();
  hold.unlock();
  member_->apply(std::move(change));
  member_->flush();  // operations that waited for their first view may have arrived at barriers
  for (const auto id : left) has_left(id);
}

void Host::await_first_view() {
  std::unique_lock hold(peers_mutex_);
  peers_changed_.wait_for(hold, std::chrono::seconds(30), [&] { return !peers_.empty(); });
}

std::vector<Peer> Host::peers() const {
  std::lock_guard hold(peers_mutex_);
  return peers_;
}

std::string Host::resolve_bundle(const std::string& path) const {
  if (path == kOwnProgram) return config_.program;
  for (const BundledFile& f : config_.files)
    if (f.path == path) return f.real;
  return path;
}

std::string Host::bundle_hash(const std::string& path) const {
  if (path == config_.program || path == kOwnProgram) return config_.hash;
  for (const BundledFile& f : config_.files)
    if (f.path == path) return f.hash;
  return {};
}

void Host::fatal(const std::string& reason) {
  control_.send({{"t", "failed"}, {"reason", reason}});
  control_.flush(5);
  _exit(1);
}

// ---- threads ---------------------------------------------------------------------------------------------------------

std::string Host::no_room() {
  std::unique_lock hold(guests_mutex_);
  const size_t threads = guests_.size();
  hold.unlock();
  const size_t warm = warm_.size();
  std::string why = map_budget_.refusal(threads + warm);
  if (!why.empty() && warm_.clear()) why = map_budget_.refusal(threads);
  return why;
}

void Host::load_in(const LoadRequest& load, Guest& g) {
  try {
    load_program(load, g.space, g.context);
  } catch (const Error&) {
    if (!warm_.clear()) throw;  // what it holds may be what was missing: addresses, mappings
    g.space.release();
    load_program(load, g.space, g.context);
  }
}

std::shared_ptr<Guest> Host::start_guest(const StartRequest& request) {
  // The resident instance for DMI_function is no thread of the job: pages that are still here may need it.
  const bool thread = request.role != DMI_ROLE_FUNCTION;
  if (thread && !departure_.enter()) throw Error("leaving", "node " + config_.node + " is leaving the job");
  struct Exit { Departure* d; ~Exit() { if (d) d->exit(); } } exit{thread ? &departure_ : nullptr};
  if (const std::string why = no_room(); !why.empty()) throw Error("no-memory", "node " + config_.node + " cannot start another thread: " + why);
  auto g = std::make_shared<Guest>();
  const int32_t number = next_thread_.fetch_add(1);
  g->key = static_cast<ThreadKey>(static_cast<uint32_t>(config_.member)) << 32 | static_cast<uint32_t>(number);
  g->role = request.role;
  g->rank = request.rank;
  g->count = request.count;
  g->arg = request.arg;
  g->main = request.main;
  g->features = machine_features();
  g->has_event = request.joinable;
  g->cwd = config_.cwd.empty() ? "/" : config_.cwd;
  g->umask = umask_;
  g->files.open_console();
  g->input.end = !(config_.input && request.main && request.rank == 0);
  LoadRequest load;
  load.program = &program_;
  load.zone = config_.zone;
  load.region = config_.thread_memory;
  load.stack = request.stack > 0 ? page_up(static_cast<uint64_t>(std::max<int64_t>(request.stack, 256 << 10))) : std::min<uint64_t>(8 << 20, load.region / 4);
  load.argv = config_.argv;
  load.env = config_.env;
  load.env.insert(load.env.end(), request.extra_env.begin(), request.extra_env.end());
  const bool revived = thread && !request.main && request.extra_env.empty() && warm_.revive(*g, load.stack);
  if (!revived) load_in(load, *g);
  insert(g);
  if (request.role != DMI_ROLE_FUNCTION) {
    nlohmann::json started = {{"t", "started"}, {"thread", g->name()}, {"by", nullptr}, {"movable", true}};
    if (!request.by.empty()) started["by"] = request.by;
    if (g->main) control_.send(started);
    else control_.started(g->key, started);
  }
  scheduler_.make_ready(*g);
  return g;
}

void Host::insert(std::shared_ptr<Guest> g) {
  std::lock_guard hold(guests_mutex_);
  guests_[g->key] = g;
}

std::shared_ptr<Guest> Host::find(ThreadKey key) {
  std::lock_guard hold(guests_mutex_);
  auto it = guests_.find(key);
  return it == guests_.end() || it->second->in_doubt ? nullptr : it->second;
}

void Host::forget(ThreadKey key) {
  std::shared_ptr<Guest> last;  // destroyed after the lock is released: unmapping takes its time
  std::unique_lock hold(guests_mutex_);
  auto it = guests_.find(key);
  if (it == guests_.end()) return;
  last = std::move(it->second);
  guests_.erase(it);
  hold.unlock();
  departure_.thread_gone();
}

std::vector<std::shared_ptr<Guest>> Host::guests() {
  std::lock_guard hold(guests_mutex_);
  std::vector<std::shared_ptr<Guest>> all;
  for (auto& [key, g] : guests_) all.push_back(g);
  return all;
}

Next Host::serve(Worker& w, Guest& g) {
  switch (static_cast<Reason>(g.context.reason)) {
    case Reason::Call: return gate_call(w, g, static_cast<int64_t>(g.context.a), reinterpret_cast<void*>(g.context.b));
    case Reason::Syscall: {
      auto& call = *reinterpret_cast<SystemCall*>(g.context.a);
      // Not while a mover looks at its pages.
      if (g.context.b && !g.moving.load() && g.sites.count(call.pc)) rewrite_site(g.space, call.pc);
      return system_call(w, g, call);
    }
    case Reason::Fault: return fault_in_guest(w, g);
    case Reason::Preempt: break;
  }
  return Next::Yield;
}

Next Host::serve_again(Worker& w, Guest& g) {
  const Next next = system_call(w, g, *g.input.call);
  if (next == Next::Gone) return next;
  g.lock.lock();
  g.input.call = nullptr;
  g.lock.unlock();
  return next;
}

Next Host::finish(Worker&, Guest& g, int status) {
  if (g.role == DMI_ROLE_FUNCTION) fatal("the instance that runs DMI_function ended with status " + std::to_string(status));
  output_.flush(g.key);
  sharing_.end(g);
  const ThreadKey key = g.key;
  const int64_t result = g.result;
  const bool awaited = g.has_event;
  nlohmann::json exited = {{"t", "exited"}, {"thread", g.name()}, {"status", status}, {"result", std::to_string(result)}, {"main", g.main}, {"moves", g.moves}};
  g.lock.lock();
  g.state = State::Done;
  const bool idle = std::all_of(g.async.begin(), g.async.end(), [](const auto& p) { return p->done; });
  g.lock.unlock();
  // If not idle, the last of its operations lets it go: at any time from here on.
  if (idle) warm_.recycle(g);  // before it is joined, so that who joins one thread and creates the next needs one region
  if (awaited) {
    auto* op = new memory::Op;
    op->kind = memory::OpKind::EventSet;
    op->target = op->thread = key;
    op->value = result;
    if (member_->submit(op)) delete op;
  }
  scheduler_.on_paused(g);
  if (g.main) control_.send(exited);
  else control_.exited(key, exited, status != 0 || g.moves > 0);
  if (idle) forget(key);
  return Next::Gone;
}

Next Host::fault(Worker& w, Guest& g) {
  const Fault& f = w.fault;
  output_.flush(g.key);
  const char* abbrev = sigabbrev_np(f.signal);
  const std::string signal = abbrev ? std::string("SIG") + abbrev : "signal " + std::to_string(f.signal);
  const std::string symbol = with_program_name(symbolize(g.space, f.pc), config_);
  std::string text = "thread " + g.name() + " on " + config_.node + " died of " + signal;
  const uint64_t low = g.space.stack_low();
  // Below the stack, or the kernel found no room on it for a signal's frame (which gives no address).
  const auto in_guard = [low](uint64_t a) { return a < low && a >= low - kStackGuard; };
  if (f.signal == SIGSEGV && (in_guard(f.address) || in_guard(f.sp) || (f.code == SI_KERNEL && f.sp >= low && f.sp - low < 16384)))
    text += ": its stack of " + std::to_string((g.space.stack_high() - low) >> 10) + " KiB overflowed";
  else if (f.signal == SIGSEGV || f.signal == SIGBUS)
    text += " at address " + hex(f.address) + (f.pc < kZoneLow && f.pc != f.address ? ", which it gave to a DMI call" : "");
  const std::string calls =
      "thread " + g.name() + " was in\n" + with_program_name(describe(g.space, backtrace(g.space, f.pc, f.sp, f.bp)), config_);
  output_.write(g.key, 2, calls.data(), calls.size());
  // abort() is called by a program that has said why; where it was is inside of the C library.
  if (f.signal != SIGABRT) text += ", pc " + hex(f.pc) + (symbol.empty() ? "" : " in " + symbol);
  g.lock.lock();
  g.state = State::Done;
  g.lock.unlock();
  scheduler_.on_paused(g);
  control_.send({{"t", "fault"}, {"thread", g.name()}, {"signal", signal}, {"address", hex(f.address)}, {"pc", hex(f.pc)}, {"symbol", symbol}, {"text", text}});
  return Next::Gone;  // the region stays as it is: the job is over
}

std::string Host::named(std::string text) const { return with_program_name(std::move(text), config_); }

void Host::fault_in_host(const HostFault& f) {
  std::string who = "a thread";
  for (const auto& g : guests())
    for (const Extent& e : g->space.extents_copy())
      if (f.address >= e.base && f.address - e.base < e.size) who = "thread " + g->name();
  const char* abbrev = sigabbrev_np(f.signal);
  const std::string signal = abbrev ? std::string("SIG") + abbrev : std::to_string(f.signal);
  const std::string text = who + " on " + config_.node + " died of " + signal + " at address " + hex(f.address) +
                           ", which the host touched on its behalf (a system call or a DMI call): it is mapped, but has nothing behind it, such as a "
                           "file that has become shorter";
  nlohmann::json message = {{"t", "fault"}, {"signal", signal}, {"address", hex(f.address)}, {"pc", hex(f.pc)}, {"symbol", ""}, {"text", text}};
  message["thread"] = who == "a thread" ? nlohmann::json() : nlohmann::json(who.substr(7));
  control_.send(message);
}

// ---- pausing ---------------------------------------------------------------------------------------------------------

bool Host::come_to_rest(Guest& g) {
  std::vector<memory::Op*> park;
  bool interrupt = false, rested = false;
  g.lock.lock();
  switch (g.state) {
    case State::Ready:
      if (scheduler_.unqueue(g)) g.state = State::Paused, g.rest = Rest::Run;
      break;
    case State::Running: interrupt = true; break;
    case State::Sleeping:
      if (scheduler_.remove_sleeper(g)) g.state = State::Paused, g.rest = Rest::Sleep;
      break;
    case State::Blocked:
      if (g.in_operation && !g.pending->park_sent && memory::is_long(g.pending->op.kind)) {
        g.pending->park_sent = true;
        park.push_back(&g.pending->op);
      }
      break;
    default: break;
  }
  bool settled = true;
  for (auto& p : g.async) {
    if (p->done || p->op.parked) continue;
    settled = false;
    if (!p->park_sent && memory::is_long(p->op.kind)) {
      p->park_sent = true;
      park.push_back(&p->op);
    }
  }
  if (settled && g.state == State::Blocked && g.waiting && park.empty()) g.state = State::Paused, g.rest = Rest::Wait;
  rested = settled && g.state == State::Paused;
  g.lock.unlock();
  for (memory::Op* op : park) member_->park(op);
  if (interrupt) scheduler_.interrupt(g);
  return rested;
}

bool Host::pause(Guest& g, double timeout, std::string& why, std::string& code) {
  g.lock.lock();
  g.pause_wanted = true;
  g.lock.unlock();
  const double give_up = monotonic_seconds() + timeout;
  while (true) {
    if (come_to_rest(g)) return true;
    g.lock.lock();
    const State state = g.state;
    g.lock.unlock();
    if (state == State::Done) return why = "it has ended", code = "gone", false;
    if (state == State::Offloaded) why = "it is in a system call that may block", code = "pinned";
    else why = "it did not come to rest in " + std::to_string(static_cast<int>(timeout)) + " s (it is " + name(state) + ")", code = "busy";
    if (state == State::Offloaded || monotonic_seconds() > give_up) break;
    // A running thread comes to rest within microseconds, of which sleeping and being woken would be most.
    const auto paused = [&] { return g.state.load() == State::Paused; };
    for (int64_t until = monotonic_ns() + kPauseSpin; !paused() && monotonic_ns() < until;) __builtin_ia32_pause();
    std::unique_lock hold(pause_mutex_);
    pause_wake_.wait_for(hold, std::chrono::microseconds(500), paused);
  }
  g.lock.lock();
  const bool paused = g.state == State::Paused;
  g.pause_wanted = false;
  g.lock.unlock();
  if (paused) release(g);
  return false;
}

void Host::release(Guest& g) {
  std::vector<Pending*> resume;
  if (g.self_move) {  // it is still here: its DMI_migrate has failed
    g.self_move->migrated = 0;
    g.self_move = nullptr;
    g.self_request = 0;
    g.context.result = fail(g, EBUSY, g.why_stayed.empty() ? "the move did not succeed" : g.why_stayed);
  }
  g.lock.lock();
  g.pause_wanted = false;
  for (auto& p : g.async)
    if (!p->done && p->op.parked) resume.push_back(p.get());
  g.input.forget_request();
  const Rest rest = g.input.call ? Rest::Run : g.rest;
  switch (rest) {
    case Rest::Run: g.state = State::Ready; break;
    case Rest::Sleep: g.state = State::Sleeping; break;
    case Rest::Resume:
      g.in_operation = true;
      g.pending->park_sent = false;
      g.state = State::Blocked;
      resume.push_back(g.pending.get());
      break;
    case Rest::Wait: g.state = State::Blocked; break;
  }
  g.lock.unlock();
  for (Pending* p : resume) {
    p->park_sent = false;
    resume_operation(*p);
  }
  if (rest == Rest::Run) scheduler_.make_ready(g);
  if (rest == Rest::Sleep) scheduler_.add_sleeper(g);
}

// ---- reports ---------------------------------------------------------------------------------------------------------

nlohmann::json Host::report() {
  nlohmann::json threads = nlohmann::json::array();
  for (const auto& g : guests()) {
    if (g->role == DMI_ROLE_FUNCTION || g->in_doubt) continue;
    nlohmann::json regions = nlohmann::json::array();
    g->lock.lock();
    const State state = g->state;
    std::string doing = name(state);
    if (state == State::Blocked && g->in_operation) doing += std::string(" in ") + operation_name(g->pending->op.kind);
    if (g->input.call) doing = "waiting for input";
    const std::string pin = g->last_pin;
    g->lock.unlock();
    // One that has its worker for itself is never interrupted: its time is added up now, for the next report.
    if (state == State::Running) scheduler_.interrupt(*g);
    uint64_t reserved = 0;
    for (const Extent& e : g->space.extents_copy()) regions.push_back({e.base, e.size}), reserved += e.size;
    threads.push_back({{"thread", g->name()}, {"state", doing}, {"cpuSeconds", static_cast<double>(g->cpu_ticks.load()) / ticks_per_second()},
                       {"bytes", g->space.mapped_bytes()}, {"reserved", reserved}, {"pinned", pin.empty() ? nlohmann::json() : nlohmann::json(pin)}, {"moves", g->moves}, {"systemCalls", g->system_calls}, {"regions", regions}});
  }
  const memory::MemberStats s = member_->stats();
  std::ifstream statm("/proc/self/statm");
  uint64_t total = 0, resident = 0;
  statm >> total >> resident;
  return {{"threads", threads},
          {"clock", static_cast<double>(monotonic_ns()) / 1e9},
          {"rss", resident * kPage},
          {"memory", {{"pagesOwned", s.pages_owned}, {"pagesCached", s.pages_cached}, {"bytesOwned", s.bytes_owned}, {"bytesCached", s.bytes_cached},
                      {"pool", s.pool}, {"shardsHomed", s.shards_homed}, {"messagesSent", s.messages_sent}, {"messagesReceived", s.messages_received},
                      {"bytesSent", s.bytes_sent}, {"bytesReceived", s.bytes_received}, {"pagesFetched", s.pages_fetched},
                      {"pagesHandedOver", s.pages_handed_over}}}};
}

}  // namespace dmi::host
