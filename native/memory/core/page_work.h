// What a page needs only while something is going on with it: who has copies, what waits, what is in flight.
#pragma once
#include <algorithm>
#include <deque>

#include "pages.h"

namespace dmi::memory {

struct OpState;

// One page's part of an operation as its owner sees it, wherever it came from.
struct PageTask {
  MemberId requester = kNoMember;
  uint64_t since = 0;
  uint64_t op = 0;          // names the operation at the requester
  uint32_t index = 0;       // and the part
  OpKind kind = OpKind::Read;
  Mode mode = Mode::Get;
  int32_t tag = 0;
  uint32_t in_size = 0, out_size = 0;
  uint64_t off = 0, len = 0;
  bool packed = false;      // came in a pack: the answer goes in one
  std::span<const std::byte> data;   // what it writes; points into `own`, a message being handled, or the caller's buffer
  std::vector<std::byte> own;
  OpState* local = nullptr;          // the requester is this member
  MemberId transfer_to = kNoMember;  // not an operation: the home's order to hand the page over

  // Before it is queued: the message it points into will be gone.
  void keep_data() {
    if (!local && own.empty() && !data.empty()) {
      own.assign(data.begin(), data.end());
      data = own;
    }
  }
};

struct StagedWrite {
  uint64_t ver;
  uint64_t off;
  std::vector<std::byte> bytes;
};
struct LocalPart { OpState* op; uint32_t index; };

struct PageWork {
  // -- owner
  std::vector<Sharer> sharers;
  bool busy = false;                   // `current` waits for acknowledgements, or a user's function runs
  PageTask current;
  std::vector<Sharer> unacked;
  std::vector<std::byte> effect;       // what `current` will write, at
  uint64_t effect_off = 0;
  std::vector<std::byte> result;       // and answer
  FunctionCall* function = nullptr;
  std::deque<PageTask> queue;          // owner: behind `current`. Otherwise: until the page arrives
  // -- would-be owner
  bool acquiring = false;              // an Acquire is on its way
  MemberId offered_by = kNoMember;     // we acquire it only to relieve this member
  bool offered_away = false;           // (draining owner) an Offer is out
  // -- sharer
  uint32_t fetches = 0;                // caching reads in flight
  uint64_t min_ver = 0;                // copies older than this have been invalidated while a fetch was in flight
  std::deque<StagedWrite> staged;      // acknowledged, not yet to be seen; readers wait
  std::vector<LocalPart> readers;      // local reads that wait for a fetch in flight or a commit
  std::vector<OpState*> watchers;      // local Watch operations that wait for the copy to change

  bool idle() const {
    return sharers.empty() && !busy && queue.empty() && !acquiring && offered_by == kNoMember && !offered_away && fetches == 0 &&
           staged.empty() && readers.empty() && watchers.empty();
  }
};

}  // namespace dmi::memory
