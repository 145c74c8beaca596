// N virtual members joined by virtual wires. Every pair of members has a FIFO wire in each direction; a seeded scheduler
// decides which wire delivers next, so messages between different pairs overtake each other in any way. Views are
// delivered to each member at its own time too.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "memory/core/engine.h"

namespace dmi::memory::sim {

struct Wire {
  std::deque<Frame> frames;
};

class World {
 public:
  explicit World(uint64_t seed) : rng_(seed) {}

  struct Node {
    std::unique_ptr<Engine> engine;
    MemberId id;
    std::deque<ViewChange> views;     // told by the coordinator, not yet applied
    bool drained = false, dead = false;
    std::vector<Op*> done;            // completed, not yet looked at
    std::deque<FunctionCall*> functions;
  };

  // A member, in no view yet.
  Node& add(MemberState state = MemberState::Active, int64_t pool = 1 << 30);
  // Publishes a view: members as they stand, shards spread over the active ones with few moves.
  void publish();
  void set_state(MemberId id, MemberState state) { infos_.at(id).state = state; }
  void remove(MemberId id);           // gone in the next view
  void kill(MemberId id);             // stops at once; its wires are cut
  bool quiet(MemberId id) const;      // everything that it has sent has arrived
  void retire(MemberId id);           // has drained, is quiet (a transport tells of a drain only then), and stops

  bool submit(MemberId at, Op* op);
  bool resume(MemberId at, Op* op);
  void park(MemberId at, Op* op);
  void flush(MemberId at);
  void drain(MemberId at);

  // What a slow member sends and receives waits while anything else can be delivered, nearly always.
  void set_slow(MemberId id, bool slow) { slow ? (void)slow_.insert(id) : (void)slow_.erase(id); }
  size_t slow() const { return slow_.size(); }

  bool step();                        // one random delivery; false: nothing is in flight
  void settle(int limit = 1'000'000); // until nothing is in flight
  void wait(Op* op, MemberId at);     // until it is done there; throws when nothing is in flight any more

  Node& node(MemberId id) { return *nodes_.at(id); }
  std::map<MemberId, std::unique_ptr<Node>>& nodes() { return nodes_; }
  std::mt19937_64& rng() { return rng_; }
  uint64_t epoch() const { return epoch_; }
  size_t in_flight() const { return busy_.size(); }
  uint64_t delivered() const { return delivered_; }
  void inject(MemberId from, MemberId to, Frame frame);  // as if `from` had sent it
  // The frames that a member has sent to another and that have not arrived: tests may look at or spoil them.
  std::deque<Frame>& wire(MemberId from, MemberId to) { return wires_[{from, to}].frames; }
  std::vector<std::string> problems;  // hang-ups, warnings, failed checks
  int check_level = 0;
  std::function<void(Node&, FunctionCall*)> run_function;
  std::function<bool(World&, MemberId, MemberId, Frame&)> tamper;
  bool is_done(Op* op);               // and forgets it
  bool any_done() const { return !with_done_.empty(); }
  std::vector<MemberId> with_done() { return std::exchange(with_done_, {}); }  // members that have completed something since

 private:
  void take(Node& n, Outbox& out);
  void deliver(MemberId from, MemberId to);
  std::mt19937_64 rng_;
  MemberId next_ = 0;
  uint64_t epoch_ = 0, delivered_ = 0;
  std::map<MemberId, std::unique_ptr<Node>> nodes_;
  std::map<MemberId, MemberInfo> infos_;
  std::set<MemberId> known_;          // members that have been given a view
  std::vector<MemberId> homes_;
  std::map<std::pair<MemberId, MemberId>, Wire> wires_;
  // Wires with frames. (id, id) stands for a view to apply, (id, kRelease) for operations that wait for company, (id, kProceed)
  // for one of which a part has been begun.
  std::vector<std::pair<MemberId, MemberId>> busy_;
  static constexpr MemberId kRelease = -2, kProceed = -3;
  std::set<Op*> done_;
  std::vector<MemberId> with_done_;
  std::set<MemberId> slow_;
};

}  // namespace dmi::memory::sim
