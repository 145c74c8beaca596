// What a home does for the pages of its shards: it knows the owner, makes one at first touch, forwards what goes astray,
// and lets ownership change one step at a time.
#include "messages.h"

namespace dmi::memory {

// Page i of a mapping belongs first to the (i mod N)-th active member, in ascending id.
MemberId EngineImpl::first_owner(PageKey key) const {
  auto& active = view_.active();
  return active.empty() ? self_ : active[index_of(key) % active.size()];
}

void EngineImpl::answer_error(MemberId requester, uint64_t op, uint32_t index, int error) {
  if (requester == self_) {
    if (auto* s = state(op); s && index < s->parts.size()) finish_part(*s, index, error, {});
    return;
  }
  add_answer(requester, op, {index, error, 0, 0}, {});
}

Stored EngineImpl::store_part(const PageReq& head, const PagePart& part, Bytes data, uint64_t epoch, MemberId from) const {
  PageReq one = head;
  one.flags = 0;
  one.parts = {part};
  Stored s{from, encode(one, epoch, kInline, data.size()), {}};
  Writer(s.head).raw(data.data(), data.size());
  return s;
}

// A part of a page request that has come to (or starts at) a member that does not own the page.
void EngineImpl::home_part(const PageReq& head, const PagePart& part, Bytes data, uint64_t epoch, MemberId from) {
  const auto shard = shard_of_page(part.key);
  const auto home = view_.home(shard);
  if (home == self_) {
    if (auto* here = shards_[shard].here.get()) return serve_part(*here, head, part, data, from);
    shards_[shard].waiting.push_back(store_part(head, part, data, epoch, from));
  } else if (epoch > view_.epoch() || home == kNoMember) {
    future_.emplace_back(std::max(epoch, view_.epoch() + 1), store_part(head, part, data, epoch, from));
  } else {
    add_part(home, head, part, {data, nullptr, head.requester == self_});
  }
}

void EngineImpl::serve_part(ShardContent& shard, const PageReq& head, const PagePart& part, Bytes data, MemberId from) {
  const auto id = mapping_of(part.key);
  auto* m = store_.mapping(id);
  if (!m) {
    look_up(id);
    lookups_[id].messages.push_back(store_part(head, part, data, view_.epoch(), from));
    return;
  }
  if (m->dead.load(std::memory_order_relaxed) || index_of(part.key) >= static_cast<uint64_t>(m->page_count))
    return answer_error(head.requester, head.op, part.index, EFAULT);
  auto [at, fresh] = shard.pages.try_emplace(part.key);
  auto& e = at->second;
  if (fresh) e.owner = first_owner(part.key);
  if (e.transfer) {
    e.transfer->queue.push_back(store_part(head, part, data, view_.epoch(), from));
    return;
  }
  PageReq r = head;
  r.flags = static_cast<uint8_t>(PageReq::kViaHome | (fresh ? PageReq::kCreate : 0));
  r.page_size = m->page_size;
  r.page_count = m->page_count;
  if (e.owner == self_) {
    r.parts = {part};
    on(self_, view_.epoch(), r, data);
  } else {
    add_part(e.owner, r, part, {data, nullptr, head.requester == self_});
  }
}

void EngineImpl::start_transfer(ShardContent&, DirEntry& e, PageKey key, MemberId to) {
  e.transfer = std::make_unique<Transferring>();
  e.transfer->to = to;
  send(e.owner, Transfer{key, to});
}

void EngineImpl::on(MemberId from, uint64_t epoch, Acquire& m, Bytes) {
  auto& shard = *shards_[shard_of_page(m.key)].here;
  const auto id = mapping_of(m.key);
  auto* map = store_.mapping(id);
  if (!map) {
    look_up(id);
    lookups_[id].messages.push_back({from, encode(m, epoch, kInline), {}});
    return;
  }
  if (map->dead.load(std::memory_order_relaxed)) return;  // the requester hears of it too
  if (index_of(m.key) >= static_cast<uint64_t>(map->page_count)) return broke_protocol(from, "a claim on a page past the end");
  const auto reply = [&](Granted::What what) { send(m.requester, Granted{m.key, what, map->page_size, map->page_count}); };
  if (!view_.is_active(m.requester)) {
    if (epoch > view_.epoch()) {  // it may have joined in a view we have not seen
      future_.emplace_back(epoch, Stored{from, encode(m, epoch, kInline), {}});
      return;
    }
    return reply(Granted::Refused);
  }
  auto at = shard.pages.find(m.key);
  if (at == shard.pages.end()) {
    if (m.from != kNoMember) return reply(Granted::Refused);
    shard.pages[m.key].owner = m.requester;
    return reply(Granted::Create);
  }
  auto& e = at->second;
  if (e.transfer) {
    e.transfer->queue.push_back({from, encode(m, epoch, kInline), {}});
    return;
  }
  if (e.owner == m.requester) return reply(Granted::Already);
  if (m.from != kNoMember && e.owner != m.from) return reply(Granted::Refused);
  start_transfer(shard, e, m.key, m.requester);
}

void EngineImpl::on(MemberId from, uint64_t, Owned& m, Bytes) {
  auto& shard = *shards_[shard_of_page(m.key)].here;
  auto at = shard.pages.find(m.key);
  if (at == shard.pages.end()) return;  // unmapped meanwhile
  auto& e = at->second;
  if (!e.transfer || (m.owner != e.transfer->to && m.owner != e.owner)) return broke_protocol(from, "a report of a transfer nobody ordered");
  e.owner = m.owner;
  auto queue = std::move(e.transfer->queue);
  e.transfer.reset();
  // Until another transfer starts: then the rest queues up behind it, in order.
  handle_again(queue);
}

}  // namespace dmi::memory
