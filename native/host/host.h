// The host process: one job on one machine. Owns the guests, the workers, the member of the global memory and the channel
// to the agent, and ties them together. There is one per process.
#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "../memory/member.h"
#include "codec.h"
#include "control.h"
#include "departure.h"
#include "error.h"
#include "guest.h"
#include "loader.h"
#include "map_budget.h"
#include "output.h"
#include "scheduler.h"
#include "warm.h"

namespace dmi::host {

struct BundledFile {
  std::string path;  // as guests name it
  std::string real;  // on this machine
  std::string hash;  // SHA-256, hex
};

struct JobConfig {
  std::string job, key, node, bind = "127.0.0.1", program, hash, cwd;
  memory::MemberId member = 0;
  bool lite = false;
  bool input = false;  // somebody gives the job's first thread its standard input
  std::vector<BundledFile> files;
  std::vector<std::string> argv, env;
  int64_t pool = 256ll << 20;
  int workers = 1;
  uint64_t thread_memory = 1ull << 30;
  double peer_timeout = 30;
  Zone zone{};
};

// A member as the view describes it, with what the engine does not know.
struct Peer {
  memory::MemberInfo info;
  std::string node;
};

struct StartRequest {
  int32_t role = DMI_ROLE_MAIN;
  int32_t rank = 0, count = 1;
  int64_t arg = 0;
  int64_t stack = 0;
  bool main = false;
  bool joinable = false;
  std::vector<std::string> extra_env;
  std::string by;  // thread that asked, for the agent
};

class Moves;
struct HostFault;
void run_in_helper(std::function<void()> work);  // a pool of threads for what may block (offload.cc)

class Host {
 public:
  static Host& get();

  // Set up by the `job` message; throws Error.
  void begin(JobConfig config);
  void apply_view(const nlohmann::json& view);
  const JobConfig& config() const { return config_; }
  memory::Member& member() { return *member_; }
  Scheduler& scheduler() { return scheduler_; }
  Control& control() { return control_; }
  Moves& moves() { return *moves_; }
  Departure& departure() { return departure_; }
  WarmPool& warm() { return warm_; }
  const std::string& build() const { return build_; }

  // ---- threads (any host thread)
  std::string no_room();  // for one more thread: why not, empty if there is
  std::shared_ptr<Guest> start_guest(const StartRequest& request);  // throws Error; runs at once
  void insert(std::shared_ptr<Guest> g);                            // one that has moved here
  std::shared_ptr<Guest> find(ThreadKey key);
  // An answer to a thread's request for input (input.cc).
  void give_input(ThreadKey thread, uint64_t offset, std::string data, bool end);
  void forget(ThreadKey key);                                       // moved away or ended
  std::vector<std::shared_ptr<Guest>> guests();
  // ---- pausing for a mover. True: at rest, its asynchronous operations finished, Paused. False: see why.
  bool pause(Guest& g, double timeout, std::string& why, std::string& code);
  void release(Guest& g);                                           // a paused guest goes on here

  // ---- worker side
  Next serve(Worker& w, Guest& g);
  Next serve_again(Worker& w, Guest& g);                            // the call in which it waits for input
  Next gate_call(Worker& w, Guest& g, int64_t nr, void* args);
  Next finish(Worker& w, Guest& g, int status);                     // the guest has ended
  Next fault(Worker& w, Guest& g);
  void fault_in_host(const HostFault& f);                           // the host touched memory of a guest that has nothing behind it
  Next block(Guest& g);                                             // Running -> Blocked, unless already completed
  void wake(Guest& g, int64_t result);                              // Blocked -> Ready (or Paused)
  int64_t fail(Guest& g, int error, std::string sentence);          // remembers the sentence; gives -error

  // ---- engine side
  void operation_done(memory::Op* op);
  void run_function(memory::FunctionCall* call);
  void app_message(memory::MemberId from, std::span<const std::byte> bytes);

  // ---- nodes
  std::vector<Peer> peers() const;
  memory::MemberId primary() const;  // the first, visible member on this node
  void fatal(const std::string& reason);  // tells the agent and exits
  std::string resolve_bundle(const std::string& path) const;  // what to open for a path a guest names
  std::string bundle_hash(const std::string& path) const;
  nlohmann::json report();
  std::string named(std::string text) const;  // the program under the name it was started by

 private:
  Next operate(Guest& g, dmi_gate_op* args);
  Next wait_handle(Guest& g, dmi_gate_wait* args, bool block);
  Next create(Guest& g, dmi_gate_create* args);
  Next migrate(Guest& g, dmi_gate_migrate* args);
  Next share(Guest& g, int64_t nr, dmi_gate_share* args);
  Next serve_function(Guest& g, dmi_gate_function* args);
  bool serve_next(dmi_gate_function& args);  // fills in the next call; false: none
  int64_t nodes(dmi_gate_nodes* args);
  bool fill_operation(Guest& g, const dmi_gate_op& args, Pending& p, int64_t& error);
  memory::MemberId choose_member();
  void ask_for_thread(memory::MemberId to, uint64_t question, const dmi_gate_create& a, const std::string& by);
  void create_elsewhere(uint64_t question);  // the member asked is leaving
  bool has_node(memory::MemberId id) const;
  void search(uint64_t question);
  void says_no(uint64_t question, memory::MemberId from, const std::string& why, int error);
  void has_left(memory::MemberId id);
  void finish_pending(Pending& p);
  void asynchronous_done(Pending& p);
  void resume_operation(Pending& p);
  void await_first_view();
  void load_in(const LoadRequest& load, Guest& g);
  bool come_to_rest(Guest& g);  // one try; true: Paused and settled

  JobConfig config_;
  std::string build_;
  uint32_t umask_ = 022;  // that threads begin with
  std::unique_ptr<memory::Member> member_;
  Scheduler scheduler_;
  Control control_;
  std::unique_ptr<Moves> moves_;
  Program program_;
  Output output_;
  Departure departure_;
  MapBudget map_budget_;
  WarmPool warm_;
  Sharing sharing_;

  mutable std::mutex guests_mutex_;
  std::unordered_map<ThreadKey, std::shared_ptr<Guest>> guests_;
  std::atomic<int32_t> next_thread_{1};

  std::mutex pause_mutex_;
  std::condition_variable pause_wake_;

  mutable std::mutex peers_mutex_;
  std::vector<Peer> peers_;  // ascending id
  std::condition_variable peers_changed_;
  std::atomic<bool> talks_{false};  // there is somebody to hear from
  uint64_t next_choice_ = 0;

  std::mutex function_mutex_;
  Guest* function_guest_ = nullptr;
  std::deque<memory::FunctionCall*> function_calls_;
  memory::FunctionCall* function_running_ = nullptr;
  bool function_starting_ = false;

  // What a guest has asked other members (gate_calls.cc). Where both locks are needed peers_mutex_ is taken along.
  struct Question {
    Guest* guest = nullptr;
    dmi_gate_create* create = nullptr;    // one of the two
    dmi_gate_migrate* migrate = nullptr;
    std::set<memory::MemberId> unanswered;
    int searches = 0;
  };
  std::mutex questions_mutex_;
  std::unordered_map<uint64_t, Question> questions_;
  uint64_t next_question_ = 1;

 public:
  Output& output() { return output_; }
};

}  // namespace dmi::host
