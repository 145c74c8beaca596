// One thread of the job: a program instance, its memory, descriptors and what it waits for.
//
//            .------------- make_ready ---------------.
//            v                                        |
//   Ready -> Running -> Blocked (an engine operation, a reply) 
//     ^        |  |---> Sleeping (a deadline, input)  |
//     |        |  '---> Offloaded (a blocking system call in a helper thread; cannot move meanwhile)
//     |        '------> Done
//     '--- release --- Paused <- Ready, Running, Blocked, Sleeping   (at rest, for a mover)
//
// `lock` guards state, rest, pause_wanted, completed, async and input; but between Ready and Running a worker changes `state`
// without it (Scheduler::pass_on): whoever wants a Ready guest takes it out of its queue first, and tries again when it is in
// none. Everything else belongs to whoever runs the guest: its worker while Running, the mover while Paused.
#pragma once
#include <atomic>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "../gate/gate.h"
#include "../memory/member.h"
#include "address_space.h"
#include "context.h"
#include "cpu_features.h"
#include "descriptors.h"
#include "guest_signals.h"
#include "hot_sites.h"
#include "input.h"
#include "sharing.h"
#include "spin.h"

namespace dmi::host {

using memory::ThreadKey;

enum class State : uint8_t { Ready, Running, Blocked, Sleeping, Offloaded, Paused, Done };
const char* name(State s);

// What a paused guest does when it is released.
// Run: continues; Resume: its parked operation goes on; Wait: a parked asynchronous one it waits for does; Sleep: until wake_at.
enum class Rest : uint8_t { Run, Resume, Wait, Sleep };

struct Guest;
struct Worker;
class Snapshot;

// An engine operation on behalf of a guest. `args` is where the guest asked: the result is written there.
struct Pending {
  memory::Op op;
  Guest* guest = nullptr;
  dmi_gate_op* args = nullptr;
  std::vector<memory::Piece> pieces;
  uint64_t handle = 0;        // asynchronous: the guest's name for it; 0: the guest is blocked in it
  bool done = false;
  bool park_sent = false;     // a mover has asked for it back
  int64_t result = 0;         // >= 0 or -errno
  std::string message;
};

struct Guest {
  Guest();
  ~Guest();
  Context context;
  ThreadKey key = 0;          // dmi_id << 32 | thread_id: stable for life
  int32_t role = DMI_ROLE_MAIN;
  int32_t rank = 0, count = 1;
  int64_t arg = 0;
  int64_t result = 0;         // what DMI_join gives
  bool main = false;          // the job waits for this one
  bool has_event = false;     // somebody may join it
  std::shared_ptr<const Features> features;  // of the machine where it started
  AddressSpace space;
  Descriptors files;
  GuestSignals signals;
  std::string cwd;
  uint32_t umask = 022;       // the host's own is 0: it would be that of all its threads
  std::string error_text;     // of the last failed call
  std::string pinned;         // a reason that is not a descriptor or a mapping

  SpinLock lock;
  std::atomic<State> state{State::Ready};
  Rest rest = Rest::Run;
  std::atomic<bool> pause_wanted{false};
  bool completed = false;     // the blocking operation finished before its worker had let go
  bool in_operation = false;  // `pending` is under way
  bool submitting = false;    // Running, between submit() and Blocked
  Worker* worker = nullptr;   // where it runs, or ran last
  Guest* queue_prev = nullptr;  // guarded by the queue's lock
  Guest* queue_next = nullptr;
  Worker* queued_on = nullptr;

  Input input;                        // what it reads as its standard input
  std::unique_ptr<Pending> pending;   // the operation it is blocked in
  std::list<std::unique_ptr<Pending>> async;
  uint64_t next_handle = 1;
  dmi_gate_wait* waiting = nullptr;   // blocked in DMI_G_WAIT for waiting->handle
  int64_t wake_at = 0;                // Sleeping: CLOCK_MONOTONIC, ns
  int64_t sleep_result = 0;           // what the sleep returns
  dmi_gate_migrate* self_move = nullptr;  // Paused by its own DMI_migrate
  std::atomic<uint64_t> self_request{0};  // the move that it asks for by that one; 0: it is in none
  bool pins_changed = false;          // a call may have changed what why_pinned() says; its worker's
  std::string last_pin;               // what why_pinned() said last; guarded by lock
  std::string why_stayed;             // of the last failed move, for self_move
  void* reply_to = nullptr;           // Blocked in a create or migrate: its argument block

  std::atomic<uint64_t> cpu_ticks{0}; // time-stamp counter ticks in which it ran (not the host on its behalf)
  uint64_t system_calls = 0;
  HotSites sites;
  std::unique_ptr<Snapshot> snapshot;  // what its region is to hold for the next thread; see warm.h
  uint64_t ready_sp = 0;              // where it stood then
  uint64_t process_id_at = 0;         // where its C library keeps process_id(); 0: unknown
  std::map<std::string, SharedMemory> exports;  // all three: guarded by Sharing, and read at rest
  std::vector<Import> imports;
  bool shares_no_more = false;                  // it has ended, and may be joined before this host has forgotten it
  std::atomic<bool> lent{false};                // others have imported memory of it
  uint64_t moves = 0;
  std::atomic<bool> moving{false};    // a mover has it
  std::atomic<bool> in_doubt{false};  // sent whole: it may run elsewhere by now, and here it is not to be found
  std::string carried[2];             // unfinished output lines that came along with a move

  int32_t dmi_id() const { return static_cast<int32_t>(key >> 32); }
  int32_t thread_id() const { return static_cast<int32_t>(key & 0xffffffff); }
  std::string name() const { return std::to_string(dmi_id()) + "." + std::to_string(thread_id()); }
  int64_t process_id() const { return (static_cast<int64_t>(dmi_id()) << 16 | (thread_id() & 0xffff)) + 100; }
  // Why it cannot move now; empty: it can. At rest only.
  std::string why_pinned() const;
  // Worker only, between two calls of its guest: last_pin is brought up to date.
  void note_pins();
};

ThreadKey parse_thread(const std::string& name);  // 0: malformed
std::string thread_name(ThreadKey key);

}  // namespace dmi::host
