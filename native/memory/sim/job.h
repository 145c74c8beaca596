// The state of a simulated job: what run() (run.cc) schedules and the scripts (scripts.cc) do.
#pragma once
#include <list>
#include <map>
#include <set>

#include "history.h"
#include "run.h"
#include "script.h"

namespace dmi::memory::sim {

struct Thread {
  int number = 0;
  ThreadKey key = 0;
  MemberId at = kNoMember;
  bool mortal = false;               // lives on a member that may die; only reads
  bool rescuer = false;              // frees the others when all of them wait
  bool dead = false;
  Script script;
  Op op;
  std::vector<Piece> pieces;
  std::vector<std::byte> in, in2, out;
  std::coroutine_handle<> waiting;   // suspended in this operation
  bool parking = false, parked = false;
  bool in_mail = false;
  uint64_t rounds = 0;               // barriers begun
  uint64_t turns = 0;
};

struct MapUnderTest {
  GlobalAddr addr = 0;
  int64_t page_size = 0, pages = 0;
  std::vector<History> histories;    // by page
};

struct Lock {
  GlobalAddr mutex = 0, condition = 0, counter = 0;
  int holder = -1;
  uint64_t expected = 0;             // increments of the counter
  int tokens = 0;                    // what condition waiters wait for
  int waiting = 0;
};

struct Group {                       // threads that meet at a barrier
  GlobalAddr barrier = 0;
  int size = 0;
  uint64_t begun = 0;
  std::map<uint64_t, std::vector<double>> values;  // by round
  std::map<uint64_t, std::pair<int, uint64_t>> results;
};

class Job {
 public:
  explicit Job(const Options& options);
  Report run();

 private:
  struct Perform {
    Job& job;
    Thread& t;
    bool await_ready() { return job.begin(t); }
    void await_suspend(std::coroutine_handle<> h) { t.waiting = h; }
    void await_resume() {}
  };
  Perform perform(Thread& t) { return {*this, t}; }
  struct Pause {                     // the thread computes for a while
    Job& job;
    Thread& t;
    bool await_ready() { return false; }
    void await_suspend(std::coroutine_handle<> h) { job.paused_.emplace_back(&t, h); }
    void await_resume() {}
  };
  bool begin(Thread& t);             // submits t.op; true when complete

  // scripts.cc
  Script setup(Thread& t);
  Script life(Thread& t);
  Script mortal_life(Thread& t);
  Script rescue(Thread& t);
  Script finish(Thread& t);
  Script page_op(Thread& t, bool only_read);
  Script big_op(Thread& t);
  Script group_op(Thread& t);
  Script function_op(Thread& t);
  Script locked(Thread& t);
  Script consume(Thread& t);
  Script produce(Thread& t, Lock& l);
  Script meet(Thread& t);
  Script event_wait(Thread& t);
  Script event_set(Thread& t);
  Script mail_wait(Thread& t);
  Script mail_post(Thread& t);
  Script watch(Thread& t);
  Script bump(Thread& t);
  Script pin(Thread& t);
  Script scratch(Thread& t);
  Script stray(Thread& t);
  Script map(Thread& t, int64_t page_size, int64_t pages, GlobalAddr& addr);
  Op& prepare(Thread& t, OpKind kind, GlobalAddr addr = 0);
  void check_ok(Thread& t);

  // run.cc
  void fail(std::string why);
  void resume_done();
  void look_after_leavers();
  void membership();
  void move_somebody();
  void slow_down();
  bool act();                        // one random decision; false: nothing to do
  void check_pages();
  void check_queues();
  void check_waiters_at_rest();
  std::string who_waits();
  MemberId place(bool lite_too);     // a member that threads may be on
  Thread& spawn(MemberId at);
  uint64_t random(uint64_t n) { return world_.rng()() % n; }

  Options options_;
  World world_;
  Report report_;
  std::list<Thread> threads_;
  std::vector<std::pair<Thread*, std::coroutine_handle<>>> paused_;
  Thread* rescuer_ = nullptr;
  uint64_t clock_ = 0, next_value_ = 1, progress_ = 0;
  bool closing_ = false, ready_ = false;
  std::vector<MapUnderTest> maps_;
  MapUnderTest big_, watched_;
  std::vector<Lock> locks_;
  std::vector<Group> groups_;
  std::vector<uint64_t> unset_;      // events somebody will wait for
  uint64_t next_event_ = 1ull << 50;
  std::set<uint64_t> posted_, received_;
  int watching_ = 0;
  std::vector<GlobalAddr> scratches_;
  std::map<uint64_t, uint64_t> seen_version_;            // the newest that an owner has shown, for check_pages()
  std::map<uint64_t, std::vector<uint64_t>> queue_seen_; // waiters by mutex, for check_queues()
  std::set<MemberId> leaving_;       // draining or gone
  std::map<MemberId, bool> leavers_; // draining: drain() called?
  std::set<MemberId> mortal_;        // lite members that will die
};

}  // namespace dmi::memory::sim
