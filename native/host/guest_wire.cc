#include "guest_wire.h"

#include "error.h"
#include "host.h"
#include "platform.h"

namespace dmi::host {
namespace {

void write_op(Writer& w, const Pending& p) {
  const memory::Op& o = p.op;
  w.num(o.kind), w.num(o.mode), w.num(o.reduce_op), w.num(o.reduce_type), w.num(o.tag), w.num(o.pnum);
  w.num(o.addr), w.num(o.addr2), w.num(o.size), w.num(o.value);
  w.num(reinterpret_cast<uint64_t>(o.in)), w.num(reinterpret_cast<uint64_t>(o.in2)), w.num(reinterpret_cast<uint64_t>(o.out));
  w.num(o.in_size), w.num(o.out_size), w.num(o.thread), w.num(o.target), w.num(o.waiter), w.num(o.parked);
  w.num(reinterpret_cast<uint64_t>(p.args)), w.num(p.handle), w.num(p.done), w.num(p.result);
  w.text(p.message);
}

std::unique_ptr<Pending> read_op(Reader& r, Guest& g) {
  auto p = std::make_unique<Pending>();
  memory::Op& o = p->op;
  o.kind = r.num<memory::OpKind>(), o.mode = r.num<memory::Mode>(), o.reduce_op = r.num<memory::ReduceOp>();
  o.reduce_type = r.num<memory::ReduceType>(), o.tag = r.num<int32_t>(), o.pnum = r.num<int32_t>();
  o.addr = r.num<int64_t>(), o.addr2 = r.num<int64_t>(), o.size = r.num<int64_t>(), o.value = r.num<int64_t>();
  o.in = reinterpret_cast<const std::byte*>(r.num<uint64_t>()), o.in2 = reinterpret_cast<const std::byte*>(r.num<uint64_t>());
  o.out = reinterpret_cast<std::byte*>(r.num<uint64_t>());
  o.in_size = r.num<int64_t>(), o.out_size = r.num<int64_t>(), o.thread = r.num<uint64_t>(), o.target = r.num<uint64_t>();
  o.waiter = r.num<uint64_t>(), o.parked = r.num<bool>();
  p->args = reinterpret_cast<dmi_gate_op*>(r.num<uint64_t>());
  p->handle = r.num<uint64_t>(), p->done = r.num<bool>(), p->result = r.num<int64_t>();
  p->message = r.text();
  p->guest = &g;
  o.user = p.get();
  return p;
}

}  // namespace

void write_guest(Writer& w, Guest& g) {
  w.num(g.space.brk_start()), w.num(g.space.brk_now()), w.num(g.space.stack_low()), w.num(g.space.stack_high());
  w.num(g.key), w.num(g.role), w.num(g.rank), w.num(g.count), w.num(g.arg), w.num(g.result), w.num(g.main), w.num(g.has_event);
  w.text(g.cwd), w.num(g.umask), w.text(g.error_text);
  w.num(g.context.sp), w.num(g.context.result);
  w.num(g.rest);
  w.num<int64_t>(g.rest == Rest::Sleep ? g.wake_at - monotonic_ns() : 0);
  w.num(g.sleep_result);
  w.num<bool>(g.rest == Rest::Resume && g.pending != nullptr);
  if (g.rest == Rest::Resume && g.pending) write_op(w, *g.pending);
  w.num<uint64_t>(g.async.size());
  for (const auto& p : g.async) write_op(w, *p);
  w.num(g.next_handle), w.num(reinterpret_cast<uint64_t>(g.waiting));
  w.num(g.cpu_ticks.load()), w.num(g.system_calls), w.num(g.moves);
  for (int stream : {1, 2}) w.text(Host::get().output().peek(g.key, stream));
  g.input.save(w);
  g.signals.save(w);
  g.files.save(w);
}

void read_guest(Reader& r, Guest& g) {
  const auto brk_start = r.num<uint64_t>(), brk = r.num<uint64_t>();
  g.space.set_brk(brk_start, brk);
  const auto low = r.num<uint64_t>(), high = r.num<uint64_t>();
  g.space.set_stack(low, high);
  g.key = r.num<uint64_t>(), g.role = r.num<int32_t>(), g.rank = r.num<int32_t>(), g.count = r.num<int32_t>(), g.arg = r.num<int64_t>();
  g.result = r.num<int64_t>(), g.main = r.num<bool>(), g.has_event = r.num<bool>();
  g.cwd = r.text(), g.umask = r.num<uint32_t>(), g.error_text = r.text();
  g.context.sp = r.num<uint64_t>(), g.context.result = r.num<int64_t>();
  g.rest = r.num<Rest>();
  g.wake_at = monotonic_ns() + r.num<int64_t>();
  g.sleep_result = r.num<int64_t>();
  if (r.num<bool>()) g.pending = read_op(r, g);
  const uint64_t async = r.count(100);
  for (uint64_t i = 0; i < async && r.ok(); i++) g.async.push_back(read_op(r, g));
  g.next_handle = r.num<uint64_t>();
  g.waiting = reinterpret_cast<dmi_gate_wait*>(r.num<uint64_t>());
  g.cpu_ticks = r.num<uint64_t>(), g.system_calls = r.num<uint64_t>(), g.moves = r.num<uint64_t>() + 1;
  for (std::string& line : g.carried) line = r.text();
  g.input.load(r);
  g.signals.load(r);
  if (!r.ok()) throw Error("refused", "a truncated thread");
  g.files.close_all();
  g.files.load(r);
  g.state = State::Paused;
}

}  // namespace dmi::host
