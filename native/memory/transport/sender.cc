#include "sender.h"

#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <mutex>

#include "clock.h"

namespace dmi::memory::transport {
namespace {
constexpr int kSpinsForRoom = 400;  // about 10 us
}

void Sender::push(LinkKind kind, Frame&& frame) {
  size_t body = 0;
  for (const auto& slice : frame.body) body += slice.size;
  std::lock_guard lock(mutex_);
  if (entries_.empty()) progress_ns_ = coarse_ns();
  entries_.push_back({.seq = ++last_seq_, .kind = kind, .body_size = static_cast<uint32_t>(body), .link = {}, .frame = std::move(frame)});
}

Sender::Result Sender::flush() {
  std::vector<Frame> dead;
  std::unique_lock lock(mutex_);
  if (fd_ < 0) return Result::Down;
  if (writing_ || blocked_) return Result::Idle;
  writing_ = true;
  auto result = Result::Idle;
  iovec pieces[kMaxPieces];
  while (const int count = gather(pieces)) {
    const int fd = fd_;
    auto* rings = rings_;
    lock.unlock();
    const auto n = write(fd, rings, pieces, count);
    const int error = errno;
    lock.lock();
    if (n < 0 && (error == EAGAIN || error == EWOULDBLOCK)) {
      if (fd_ < 0) break;
      blocked_ = true;
      if (!rings) {
        watch_writes(true);
        break;
      }
      awaits_room_ = true;
      if (rings->await_room()) break;
      awaits_room_ = blocked_ = false;
      continue;
    }
    if (n < 0) {  // the receiving side of the connection will notice, and say why
      fd_ = -1;
      result = Result::Down;
      break;
    }
    if (fd_ < 0) {  // detached meanwhile; the next connection tells where to go on
      result = Result::Down;
      break;
    }
    advance(static_cast<size_t>(n));
  }
  writing_ = false;
  drop_acknowledged(dead);
  return result;
}

// Without the mutex. Bytes taken, or -1 and errno: EAGAIN when there is no room.
ptrdiff_t Sender::write(int fd, SharedRings* rings, iovec* pieces, int count) {
  if (rings) {
    auto n = rings->write(pieces, count);
    // Whoever reads a stream of large frames is at it: room comes in microseconds.
    for (int i = 0; n == 0 && i < kSpinsForRoom; i++) {
      cpu_relax();
      if (rings->room()) n = rings->write(pieces, count);
    }
    if (n > 0 && rings->bell_for_data()) ring_bell(fd);
    if (n == 0) errno = EAGAIN;
    return n > 0 ? static_cast<ptrdiff_t>(n) : -1;
  }
  msghdr message{};
  message.msg_iov = pieces;
  message.msg_iovlen = static_cast<size_t>(count);
  ssize_t n;
  do n = count == 1 ? send(fd, pieces[0].iov_base, pieces[0].iov_len, MSG_NOSIGNAL | MSG_DONTWAIT) : sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (n < 0 && errno == EINTR);
  return n;
}

// Collects what to write next, from (next_, offset_) on. Called by the writer, under the mutex.
int Sender::gather(iovec* pieces) {
  int count = 0;
  size_t staged = 0, total = 0;
  const auto add = [&](const std::byte* data, size_t size) {
    if (size <= kSmall && staged + size <= kStaging) {
      memcpy(staging_.data() + staged, data, size);
      iovec* last = count > 0 ? &pieces[count - 1] : nullptr;
      if (last && static_cast<std::byte*>(last->iov_base) + last->iov_len == staging_.data() + staged)
        last->iov_len += size;
      else
        pieces[count++] = {staging_.data() + staged, size};
      staged += size;
    } else {
      pieces[count++] = {const_cast<std::byte*>(data), size};
    }
    total += size;
  };

  const uint64_t received = received_.load(std::memory_order_acquire);
  if (control_left_ == 0 && offset_ == 0) {
    const bool ack = want_ack_ && next_ == entries_.size() && received > ack_told_.load(std::memory_order_relaxed);
    if (ack || want_ping_) {
      encode_link({want_ping_ ? LinkKind::Ping : LinkKind::Ack, 0, 0, 0, received}, control_.data());
      control_left_ = kLinkSize;
      ack_told_.store(received, std::memory_order_relaxed);
    }
    want_ack_ = want_ping_ = false;
  }
  if (control_left_ > 0) add(control_.data() + kLinkSize - control_left_, control_left_);

  size_t skip = offset_;
  for (size_t i = next_; i < entries_.size(); i++) {
    Entry& entry = entries_[i];
    // Keep three pieces free: link, head and one slice; more slices are checked one by one.
    if (count + 3 > kMaxPieces || total >= kMaxWrite) break;
    if (skip == 0) {
      entry.placed = find_place(entry);
      encode_link({entry.placed ? LinkKind::Placed : entry.kind, static_cast<uint32_t>(entry.frame.head.size()), entry.body_size, entry.seq, received},
                  entry.link.data());
      ack_told_.store(received, std::memory_order_relaxed);
      sent_seq_ = std::max(sent_seq_, entry.seq);  // a connection that knew less may have begun further back
    }
    bool whole = true;
    const auto part = [&](const std::byte* data, size_t size) {
      const size_t done = std::min(skip, size);
      skip -= done;
      if (done == size) return;
      if (count == kMaxPieces) whole = false;
      if (whole) add(data + done, size - done);
    };
    part(entry.link.data(), kLinkSize);
    part(entry.frame.head.data(), entry.frame.head.size());
    if (entry.placed) part(reinterpret_cast<const std::byte*>(&entry.place), kPlace);
    else for (const auto& slice : entry.frame.body) part(slice.data, slice.size);
    if (!whole) break;
  }
  return count;
}

// A body that is kept and stands where the peer can reach it.
bool Sender::find_place(Entry& entry) const {
  if (!rings_ || entry.kind != LinkKind::Engine || entry.frame.body.size() != 1 || !entry.frame.body[0].keep) return false;
  const auto place = rings_->place_of(entry.frame.body[0].data, entry.frame.body[0].size);
  if (place) entry.place = *place;
  return place.has_value();
}

void Sender::advance(size_t bytes) {
  bytes_.fetch_add(bytes, std::memory_order_relaxed);
  const size_t control = std::min(bytes, control_left_);
  control_left_ -= control;
  bytes -= control;
  progress_ns_ = coarse_ns();  // a large frame on a slow network is under way for long before anything of it is acknowledged
  while (bytes > 0) {
    const size_t left = entries_[next_].size() - offset_;
    if (bytes < left) {
      offset_ += bytes;
      return;
    }
    bytes -= left;
    offset_ = 0;
    if (entries_[next_].placed) bytes_.fetch_add(entries_[next_].body_size, std::memory_order_relaxed);
    next_++;
    frames_.fetch_add(1, std::memory_order_relaxed);
  }
}

void Sender::unblock() {
  std::lock_guard lock(mutex_);
  if (!blocked_ || fd_ < 0) return;
  blocked_ = false;
  awaits_room_ = false;
  if (!rings_) watch_writes(false);
}

// Under the mutex with fd_ >= 0, so the descriptor is certainly still this connection's.
void Sender::watch_writes(bool on) {
  epoll_event event{};
  event.events = EPOLLIN | (on ? static_cast<uint32_t>(EPOLLOUT) : 0u);
  event.data.ptr = tag_;
  epoll_ctl(epoll_, EPOLL_CTL_MOD, fd_, &event);
}

void Sender::request_ack() {
  std::lock_guard lock(mutex_);
  want_ack_ = true;
}

void Sender::request_ping() {
  std::lock_guard lock(mutex_);
  want_ping_ = true;
}

bool Sender::acknowledge(uint64_t seq) {
  std::vector<Frame> dead;  // destroyed after the mutex is released: their bodies' keepers may take locks
  std::lock_guard lock(mutex_);
  if (seq <= acked_) return true;
  if (seq > sent_seq_) return false;
  acked_ = seq;
  drop_acknowledged(dead);
  return true;
}

void Sender::drop_acknowledged(std::vector<Frame>& dead) {
  bool dropped = false;
  while (next_ > 0 && entries_.front().seq <= acked_) {
    if (!entries_.front().frame.body.empty()) dead.push_back(std::move(entries_.front().frame));
    entries_.pop_front();
    next_--;
    dropped = true;
  }
  if (dropped) progress_ns_ = coarse_ns();
}

bool Sender::attach(int fd, int epoll, void* tag, uint64_t peer_received, SharedRings* rings) {
  std::vector<Frame> dead;
  std::unique_lock lock(mutex_);
  if (peer_received > sent_seq_ || peer_received < acked_) return false;
  while (writing_) {
    lock.unlock();
    sched_yield();
    lock.lock();
  }
  acked_ = peer_received;
  next_ = entries_.size();
  drop_acknowledged(dead);
  next_ = 0;
  offset_ = 0;
  control_left_ = 0;
  blocked_ = false;
  awaits_room_ = false;
  fd_ = fd;
  epoll_ = epoll;
  tag_ = tag;
  rings_ = rings;
  // What was told on the last connection may not have arrived; the handshake has told it anew.
  ack_told_.store(received_.load(std::memory_order_relaxed), std::memory_order_relaxed);
  return true;
}

void Sender::wait_for_writer() {
  for (;;) {
    {
      std::lock_guard lock(mutex_);
      fd_ = -1;
      awaits_room_ = false;
      if (!writing_) {
        rings_ = nullptr;
        return;
      }
    }
    sched_yield();
  }
}

void Sender::detach() { wait_for_writer(); }

void Sender::clear() {
  wait_for_writer();
  std::deque<Entry> dead;
  std::lock_guard lock(mutex_);
  dead.swap(entries_);
  next_ = offset_ = 0;
}

bool Sender::empty() {
  std::lock_guard lock(mutex_);
  return entries_.empty();
}

bool Sender::unsent() {
  std::lock_guard lock(mutex_);
  return fd_ >= 0 && next_ < entries_.size();
}

int64_t Sender::waiting_since() {
  std::lock_guard lock(mutex_);
  return entries_.empty() ? 0 : progress_ns_;
}

}  // namespace dmi::memory::transport
