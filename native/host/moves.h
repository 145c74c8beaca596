// Moving a thread to another host. Source and destination agree over one connection of their own:
//
//   source                                   destination
//   connect ("move"), pause the thread, look at it, let it run
//   offer: identity, extents, mappings, files ->
//                                            <- accept (which files it has) | refuse (code, sentence)
//   pages while it runs, several rounds   ->    read straight into place, or unpacked into it
//     (or where they are, on one machine    ->    copied from the source's memory
//                                            <- taken: all but these)
//   pause the thread
//   state: the thread, its memory as it is now, pages to drop ->
//   pages, straight from the region, and their end ->
//                                               the thread runs here
//                                            <- running
//   frees its copy
//
// Until the end of the pages the source may say abort. A thread that asks for its own move stands still throughout.
//
// Exactly one copy ever runs. Until the source writes the end, its copy is the thread: any failure leaves it there. From then on
// its copy rests, and the destination has the say: it runs its copy if everything has come, and never if not. A connection that
// is cut in between leaves only the source in doubt, and it asks ("move-status"): the answer is `running`, or `abort`, after which
// the destination's copy cannot come to life any more. If the destination cannot be asked for the peer timeout, the job fails,
// saying so. A pause is thus one way of the network and the time the pages take.
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

#include "admission.h"
#include "dirty_pages.h"
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
  // `asked`: by the thread itself, which is Paused with self_move set and this as its self_request.
  void request(ThreadKey thread, memory::MemberId to, std::function<void(const MoveOutcome&)> done, uint64_t asked = 0);
  // Tells the agent how a move ended. `move`: its name, or null when a thread has asked for it.
  void report(const nlohmann::json& move, ThreadKey thread, memory::MemberId to, const MoveOutcome& o);
  void command(const std::string& move, ThreadKey thread, memory::MemberId to);  // from the agent; reports to it
  // A connection of service "move" or "move-status". Takes the descriptor; does not block.
  void incoming(int fd, std::string_view service, memory::MemberId from, std::span<const std::byte> extra);

  // Memory of threads that run elsewhere by now but is not unmapped yet: one that comes straight back waits for that.
  bool wait_for_leaving(const Extent& e);  // false: nothing that is leaving lies there

 private:
  struct Outgoing;
  // What stays behind of a thread that runs elsewhere. Its pages are watched until they are unmapped: to end that takes as long.
  struct Left {
    std::shared_ptr<Guest> guest;
    std::unique_ptr<DirtyPages> watched;
  };

  MoveOutcome send(ThreadKey thread, memory::MemberId to, uint64_t asked, Left& gone);  // gone: to be left()
  bool runs_there(uint64_t id, memory::MemberId to, const std::string& thread, std::string why);  // sent whole, but no answer
  void receive(int fd, memory::MemberId from);
  bool settle(uint64_t id, bool run);  // of a move whose offer was accepted; true: the thread runs here

  void leave(Guest& g);  // its memory may be needed again by the thread itself, which is back
  void stay(Guest& g);   // it did not go
  void left(Guest& g);         // unmaps it

  Admission admission_{memory_room};
  std::mutex mutex_;
  std::condition_variable left_;
  std::vector<Extent> leaving_;
  std::unordered_set<uint64_t> arriving_;  // destination: accepted, and neither complete nor called off
  std::unordered_set<uint64_t> running_;   // destination: came to life here lately
  std::deque<uint64_t> running_order_;     // the same, oldest first
};

}  // namespace dmi::host
