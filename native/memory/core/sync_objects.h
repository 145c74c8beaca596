// Synchronisation objects as their home keeps them. An object exists only while it has something to remember: a mutex
// that nobody holds or a barrier at which nobody waits takes no memory. Everything here moves with its shard.
#pragma once
#include <deque>
#include <unordered_map>
#include <vector>

#include "wire.h"

namespace dmi::memory {

struct Waiter {
  uint64_t id = 0;
  MemberId at = kNoMember;   // where the answer goes, unless parked
  bool parked = false;       // its thread is between members: keep what it is given until it resumes
  ThreadKey thread = 0;
  uint64_t mutex = 0;        // in a condition: what it will take when signalled
  uint64_t since = 0;        // `at` is a member in this epoch
  template <class A> void fields(A& a) { a(id); a(at); a(parked); a(thread); a(mutex); a(since); }
};
struct MutexObject {
  ThreadKey holder = 0;
  std::vector<Waiter> queue; // first come, first served
  template <class A> void fields(A& a) { a(holder); a.list(queue); }
};
struct QueueObject {         // conditions and mailboxes
  std::vector<Waiter> queue;
  template <class A> void fields(A& a) { a.list(queue); }
};
struct EventObject {         // a thread's end
  bool set = false, dropped = false;
  int64_t value = 0;
  std::vector<Waiter> queue;
  template <class A> void fields(A& a) { a(set); a(dropped); a(value); a.list(queue); }
};
// Arrivals that came in one message. Those that were parked later have left `count` and stand among the singles.
struct ArrivalBatch {
  MemberId member = kNoMember;
  uint64_t id = 0;
  uint32_t count = 0;
  std::vector<uint64_t> except;
  template <class A> void fields(A& a) { a(member); a(id); a(count); a.list(except); }
};
struct BarrierObject {
  bool reduce = false;
  ReduceOp op = ReduceOp::Sum;
  ReduceType type = ReduceType::Double;
  uint32_t pnum = 0, arrived = 0;
  std::vector<ArrivalBatch> batches;
  std::vector<Waiter> singles;
  std::vector<uint64_t> values;  // one per arrival, any order: the result does not depend on it
  template <class A> void fields(A& a) {
    a(reduce); a(op); a(type); a(pnum); a(arrived); a.list(batches); a.list(singles); a.list(values);
  }
};
struct HeldGrant {           // what a parked waiter has been given
  int32_t error = 0;
  int64_t value = 0;
  std::vector<std::byte> data;
  template <class A> void fields(A& a) { a(error); a(value); a(data); }
};

struct SyncObjects {
  std::unordered_map<uint64_t, MutexObject> mutexes;
  std::unordered_map<uint64_t, QueueObject> conditions, mailboxes;
  std::unordered_map<uint64_t, EventObject> events;
  std::unordered_map<uint64_t, BarrierObject> barriers;
  std::unordered_map<uint64_t, HeldGrant> held;  // by waiter
};

// The combination of `values` (each in the low bytes of a word) under op; the same bits for every order of the values.
uint64_t reduce(ReduceOp op, ReduceType type, const std::vector<uint64_t>& values);
size_t reduce_size(ReduceType type);  // bytes of one value; 0: no such type

}  // namespace dmi::memory
