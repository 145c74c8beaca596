#include "moves.h"

#include <algorithm>
#include <chrono>

#include "host.h"
#include "move_wire.h"

namespace dmi::host {
void Moves::request(ThreadKey thread, memory::MemberId to, std::function<void(const MoveOutcome&)> done, uint64_t asked) {
  run_in_helper([this, thread, to, asked, done = std::move(done)] {
    if (asked) Host::get().control().wait_for_reader();
    Left gone;
    done(send(thread, to, asked, gone));
    if (gone.guest) left(*gone.guest);  // nobody need wait while its memory is unmapped
  });
}

void Moves::command(const std::string& move, ThreadKey thread, memory::MemberId to) {
  request(thread, to, [this, move, thread, to](const MoveOutcome& o) { report(move, thread, to, o); });
}

void Moves::report(const nlohmann::json& move, ThreadKey thread, memory::MemberId to, const MoveOutcome& o) {
  Host::get().control().send({{"t", "moved"}, {"move", move}, {"thread", thread_name(thread)}, {"to", to}, {"ok", o.ok}, {"code", o.code},
                              {"reason", o.reason}, {"bytes", o.bytes}, {"seconds", o.seconds}, {"pauseSeconds", o.pause},
                              {"moves", o.moves}});
}

void Moves::leave(Guest& g) {
  g.in_doubt = true;
  std::lock_guard hold(mutex_);
  for (const Extent& e : g.space.extents()) leaving_.push_back(e);
}

void Moves::stay(Guest& g) {
  g.in_doubt = false;
  std::lock_guard hold(mutex_);
  for (const Extent& e : g.space.extents()) std::erase_if(leaving_, [&](const Extent& l) { return l.base == e.base; });
  left_.notify_all();
}

void Moves::left(Guest& g) {
  const std::vector<Extent> extents = g.space.extents();
  g.space.release();
  std::lock_guard hold(mutex_);
  for (const Extent& e : extents) std::erase_if(leaving_, [&](const Extent& l) { return l.base == e.base; });
  left_.notify_all();
}

bool Moves::wait_for_leaving(const Extent& e) {
  auto overlaps = [&] {
    return std::any_of(leaving_.begin(), leaving_.end(), [&](const Extent& l) { return l.base < e.base + e.size && e.base < l.base + l.size; });
  };
  std::unique_lock hold(mutex_);
  if (!overlaps()) return false;
  return left_.wait_for(hold, std::chrono::seconds(5), [&] { return !overlaps(); });
}

void Moves::incoming(int fd, std::string_view service, memory::MemberId from, std::span<const std::byte> extra) {
  Reader r(extra);
  const uint64_t id = service == "move" ? 0 : r.num<uint64_t>();
  const std::string name(service);
  run_in_helper([this, fd, from, id, name] {
    if (name == "move") return receive(fd, from);
    try {
      MoveStream stream(fd, 5);
      stream.send(settle(id, false) ? MoveMessage::Running : MoveMessage::Abort);
    } catch (const Error&) {
      // the asker will ask again
    }
  });
}

}  // namespace dmi::host
