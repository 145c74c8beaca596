// Moving a thread to another host. Source and destination agree over one connection of their own:
//
//   source                                   destination
//   connect ("move"), pause the thread, look at it, let it run
//   offer: identity, extents, mappings, files ->
//                                            <- accept (which files it has) | refuse (code, sentence)
//   pages while it runs, several rounds   ->    read straight into place
//   pause the thread
//   state: the thread, its memory as it is now, pages to drop ->
//   pages, straight from the region       ->
//                                            <- ready: everything is here
//   [decides: commit]  commit             ->    the thread runs here
//                                            <- running
//   frees its copy
//
// Until it has decided the source may say abort. A thread that asks for its own move stands still throughout.
//
// Exactly one copy ever runs. Until the source decides to commit, its copy is the thread: any failure leaves it there. Once
// decided, only the destination's may run. A connection cut between `ready` and `running` leaves both sides holding:
// the source repeats its commit ("move-commit", idempotent), the destination asks for the decision ("move-status", which
// makes an undecided source abort). If neither can reach the other for the peer timeout, the job fails, saying so.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "guest.h"

namespace dmi::host {

struct MoveOutcome {
  bool ok = false;
  std::string code = "ok";  // as in the control channel's `moved`
  std::string reason;
  uint64_t bytes = 0;
  double seconds = 0;       // from the request to the acknowledgement
  double pause = 0;         // the thread stood still
  uint64_t moves = 0;       // which of the thread's moves it was, from 1
};

class Moves {
 public:
  // Starts a move in a thread of its own; `done` is called once, from there.
  // `self`: asked for by the thread itself, which is Paused with self_move set.
  void request(ThreadKey thread, memory::MemberId to, std::function<void(const MoveOutcome&)> done, bool self = false);
  // Tells the agent how a move ended. `move`: its name, or null when a thread has asked for it.
  void report(const nlohmann::json& move, ThreadKey thread, memory::MemberId to, const MoveOutcome& o);
  void command(const std::string& move, ThreadKey thread, memory::MemberId to);  // from the agent; reports to it
  // A connection of service "move", "move-commit" or "move-status". Takes the descriptor; does not block.
  void incoming(int fd, std::string_view service, memory::MemberId from, std::span<const std::byte> extra);

  // Memory of threads that run elsewhere by now but is not unmapped yet: one that comes straight back waits for that.
  bool wait_for_leaving(const Extent& e);  // false: nothing that is leaving lies there

 private:
  enum class Decision : uint8_t { Open, Commit, Abort };
  struct Outgoing;
  struct Held { std::shared_ptr<Guest> guest; memory::MemberId from; uint64_t bytes; };

  MoveOutcome send(ThreadKey thread, memory::MemberId to, bool self, std::shared_ptr<Guest>& gone);  // gone: to be left()
  void make_sure(uint64_t id, memory::MemberId to, const std::string& thread);  // committed, but no answer
  void receive(int fd, memory::MemberId from);
  bool commit_held(uint64_t id);       // true: it runs here (now, or already)
  void settle_held(uint64_t id);       // ready, but the connection is gone
  Decision decide(uint64_t id, Decision wanted);

  void leave(const Guest& g);
  void left(Guest& g);

  std::mutex mutex_;
  std::condition_variable left_;
  std::vector<Extent> leaving_;
  std::unordered_map<uint64_t, Decision> decisions_;  // source: of moves that have sent an offer
  std::unordered_map<uint64_t, Held> held_;           // destination: ready, waiting for the decision
  std::unordered_set<uint64_t> running_;              // destination: committed lately (answers repeated commits)
  std::deque<uint64_t> running_order_;                // the same, oldest first
};

}  // namespace dmi::host
