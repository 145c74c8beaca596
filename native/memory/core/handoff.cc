// A shard changes its home. The old home sends all it knows of the shard, in chunks, and from then on forwards what still
// comes for it; the new home puts aside what arrives before the last chunk. A member that is neither forwards chunks to
// where its view says they belong, so moves may overtake each other.
#include "messages.h"

namespace dmi::memory {

constexpr size_t kChunk = 256 << 10;

template <class Map> static void put_map(Writer& w, const Map& map) {
  w(static_cast<uint32_t>(map.size()));
  for (auto& [key, value] : map) {
    w(key);
    w.element(value);
  }
}
template <class Map> static void get_map(Reader& r, Map& map) {
  uint32_t n = 0;
  r(n);
  for (uint32_t i = 0; i < n && r.ok(); i++) {
    typename Map::key_type key{};
    r(key);
    r.element(map[key]);
  }
}

std::vector<std::byte> EngineImpl::encode_shard(ShardContent& c) const {
  std::vector<std::byte> out;
  Writer w(out);
  w(static_cast<uint64_t>(c.pages.size()));
  for (auto& [key, e] : c.pages) {
    w(key);
    w(e.owner);
    w(e.transfer != nullptr);
    if (!e.transfer) continue;
    w(e.transfer->to);
    w(static_cast<uint32_t>(e.transfer->queue.size()));
    for (auto& s : e.transfer->queue) w.element(s);
  }
  put_map(w, c.sync.mutexes);
  put_map(w, c.sync.conditions);
  put_map(w, c.sync.mailboxes);
  put_map(w, c.sync.events);
  put_map(w, c.sync.barriers);
  put_map(w, c.sync.held);
  w(c.authority != nullptr);
  if (auto* a = c.authority.get()) {
    w(a->next_id);
    w(a->reserved);
    put_map(w, a->live);
    put_map(w, a->unmapping);
    put_map(w, a->seen);
  }
  return out;
}

bool EngineImpl::decode_shard(Bytes in, ShardContent& c) {
  Reader r(in);
  uint64_t pages = 0;
  r(pages);
  for (uint64_t i = 0; i < pages && r.ok(); i++) {
    PageKey key;
    r(key);
    auto& e = c.pages[key];
    bool moving;
    r(e.owner);
    r(moving);
    if (!moving) continue;
    e.transfer = std::make_unique<Transferring>();
    r(e.transfer->to);
    uint32_t n;
    r(n);
    for (uint32_t j = 0; j < n && r.ok(); j++) r.element(e.transfer->queue.emplace_back());
  }
  get_map(r, c.sync.mutexes);
  get_map(r, c.sync.conditions);
  get_map(r, c.sync.mailboxes);
  get_map(r, c.sync.events);
  get_map(r, c.sync.barriers);
  get_map(r, c.sync.held);
  bool authority;
  r(authority);
  if (authority) {
    c.authority = std::make_unique<Authority>();
    auto& a = *c.authority;
    r(a.next_id);
    r(a.reserved);
    get_map(r, a.live);
    get_map(r, a.unmapping);
    get_map(r, a.seen);
  }
  return r.ok() && r.rest().empty();
}

void EngineImpl::hand_off(uint32_t shard, MemberId to) {
  auto content = std::move(shards_[shard].here);
  const auto bytes = encode_shard(*content);
  size_t at = 0;
  do {
    const auto n = std::min(kChunk, bytes.size() - at);
    const bool last = at + n == bytes.size();
    send(to, ShardState{shard, last}, {{bytes.data() + at, n}});
    at += n;
    if (last) break;
  } while (true);
}

void EngineImpl::on(MemberId from, uint64_t epoch, ShardState& m, Bytes data) {
  if (m.shard >= kShards) return broke_protocol(from, "a shard that does not exist");
  if (epoch > view_.epoch() || view_.home(m.shard) == kNoMember) {
    Stored s{from, encode(m, epoch, kInline, data.size()), {}};
    Writer(s.head).raw(data.data(), data.size());
    future_.emplace_back(std::max(epoch, view_.epoch() + 1), std::move(s));
    return;
  }
  auto& shard = shards_[m.shard];
  if (view_.home(m.shard) != self_) return send(view_.home(m.shard), m, {data});
  if (shard.here) return broke_protocol(from, "the state of a shard that is here");
  shard.arriving.insert(shard.arriving.end(), data.begin(), data.end());
  if (!m.last) return;
  auto content = std::make_unique<ShardContent>();
  const bool good = decode_shard(shard.arriving, *content) && (content->authority != nullptr) == (m.shard == kAuthorityShard);
  shard.arriving = {};
  if (!good) return broke_protocol(from, "a shard state that makes no sense");
  // What belongs to mappings that ended while it travelled.
  std::set<uint32_t> mappings;
  for (auto& [key, e] : content->pages) mappings.insert(mapping_of(key));
  std::vector<uint32_t> dead;
  for (auto id : mappings) {
    auto* known = store_.mapping(id);
    if (!known) look_up(id);
    else if (known->dead.load(std::memory_order_relaxed)) dead.push_back(id);
  }
  shard.here = std::move(content);
  std::deque<Stored> again;
  for (auto id : dead) {
    std::erase_if(shard.here->pages, [&](auto& e) {
      if (mapping_of(e.first) != id) return false;
      if (e.second.transfer)
        for (auto& s : e.second.transfer->queue) again.push_back(std::move(s));
      return true;
    });
    forget_waiters(shard.here->sync, id);
  }
  if (auto* a = shard.here->authority.get()) forget_unmapping(*a);
  handle_again(again);
  handle_again(shard.waiting);
}

}  // namespace dmi::memory
