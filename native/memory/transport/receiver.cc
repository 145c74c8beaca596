#include "receiver.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

namespace dmi::memory::transport {

Receiver::Result Receiver::pump(int fd, FrameHandler& handler, SharedRings* rings) {
  took_frames_ = acknowledge_now_ = false;
  size_t total = 0;
  for (;;) {
    bool drained = false;
    size_t got = 0;
    if (const auto result = read_some(fd, rings, drained, got); result != Result::More) return result;
    total += got;
    bytes_.fetch_add(got, std::memory_order_relaxed);
    const bool sound = parse(handler, rings);
    if (in_batch_) {
      in_batch_ = false;
      handler.end();
    }
    if (stopped_) return Result::Closed;
    if (!sound) return Result::Broken;
    if (drained) return Result::Drained;
    if (total >= kBudget) return Result::More;
  }
}

// One read. More: something came (`drained`: and no more was there).
Receiver::Result Receiver::read_some(int fd, SharedRings* rings, bool& drained, size_t& got) {
  if (!buffer_) make_room(kBuffer);
  iovec to[2];
  size_t asked = 0;
  int count = 0;
  const size_t body_left = in_body_ ? link_.body_size - body_got_ : 0;
  if (in_body_) to[count++] = {body_ + body_got_, std::min(body_left, kBudget)};
  // Behind a large body only a little is read ahead, so that the next large body is not copied through the buffer.
  if (body_left <= kBudget)
    to[count++] = {buffer_.get() + end_, in_body_ ? std::min(kTail, capacity_ - end_) : capacity_ - end_};
  for (int i = 0; i < count; i++) asked += to[i].iov_len;
  ssize_t n;
  if (rings) {
    n = rings->read(to, count);
    if (n == 0) return Result::Drained;
    if (n < 0) {
      error_ = "broke the shared rings";
      return Result::Broken;
    }
  } else {
    msghdr message{};
    message.msg_iov = to;
    message.msg_iovlen = static_cast<size_t>(count);
    do n = count == 1 ? recv(fd, to[0].iov_base, to[0].iov_len, MSG_DONTWAIT) : recvmsg(fd, &message, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
  }
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return Result::Drained;
  if (n <= 0) {
    error_ = n < 0 ? strerror(errno) : "";
    return Result::Closed;
  }
  got = static_cast<size_t>(n);
  drained = got < asked;
  const size_t to_body = std::min(got, body_left);
  body_got_ += to_body;
  end_ += got - to_body;
  return Result::More;
}

// Hands over every complete frame. False: the peer broke the protocol.
bool Receiver::parse(FrameHandler& handler, SharedRings* rings) {
  if (in_body_) {
    if (body_got_ < link_.body_size) return true;
    in_body_ = false;
    deliver(handler, head_, {body_, link_.body_size});
    own_body_.reset();
  }
  while (!stopped_) {
    const size_t available = end_ - begin_;
    if (available < kLinkSize) break;
    link_ = decode_link(buffer_.get() + begin_);
    if (!check(link_)) return false;
    const size_t head_end = kLinkSize + link_.head_size;
    if (available < head_end) {
      make_room(head_end);
      return true;
    }
    const std::byte* at = buffer_.get() + begin_;
    const std::span head(at + kLinkSize, link_.head_size);
    if (link_.kind == LinkKind::Placed) {
      if (available < head_end + kPlace) {
        make_room(head_end + kPlace);
        return true;
      }
      uint64_t place;
      memcpy(&place, at + head_end, kPlace);
      begin_ += head_end + kPlace;
      if (!deliver_placed(handler, rings, head, place)) return false;
      continue;
    }
    const size_t body_here = std::min<size_t>(available - head_end, link_.body_size);
    const std::span first(at + head_end, body_here);
    if (body_here < link_.body_size) {
      if (head_end + link_.body_size <= kBuffer) {
        make_room(head_end + link_.body_size);
        return true;
      }
      if (!start_body(handler, head, first)) return false;
      begin_ = end_ = 0;
      return true;
    }
    begin_ += head_end + link_.body_size;
    deliver(handler, head, first);
    if (in_batch_ && batch_ >= kSlice && end_ - begin_ > kLinkSize) {  // answers go while we work on the rest
      in_batch_ = false;
      handler.end();
    }
  }
  if (begin_ == end_) {
    begin_ = end_ = 0;
    if (capacity_ > kBuffer) {
      capacity_ = 0;
      buffer_.reset();
    }
  } else {
    make_room(kLinkSize);
  }
  return true;
}

bool Receiver::check(const Link& link) {
  const auto expected = received_.load(std::memory_order_relaxed) + 1;
  if (link.kind > LinkKind::Placed) {
    error_ = "link of unknown kind " + std::to_string(static_cast<int>(link.kind));
  } else if (link.body_size > kMaxBody) {
    error_ = "body of " + std::to_string(link.body_size) + " bytes is too long";
  } else if (link.kind == LinkKind::Ack || link.kind == LinkKind::Ping) {
    if (link.seq == 0 && link.head_size == 0 && link.body_size == 0) return true;
    error_ = "acknowledgement with a body";
  } else if (link.seq != expected) {
    error_ = "frame " + std::to_string(link.seq) + " came where " + std::to_string(expected) + " was due";
  } else if (link.kind == LinkKind::App && link.head_size != 0) {
    error_ = "application message with a head";
  } else {
    return true;
  }
  return false;
}

void Receiver::deliver(FrameHandler& handler, std::span<const std::byte> head, std::span<const std::byte> body) {
  peer_acknowledged_ = std::max(peer_acknowledged_, link_.ack);
  if (link_.kind == LinkKind::Ack || link_.kind == LinkKind::Ping) {
    acknowledge_now_ |= link_.kind == LinkKind::Ping;
    return;
  }
  if (link_.kind == LinkKind::App) {
    if (in_batch_) {
      in_batch_ = false;
      handler.end();
    }
    handler.app(from_, body);
  } else {
    if (!in_batch_) handler.begin(), batch_ = 0;
    in_batch_ = true;
    // A body that came through the buffer still belongs where the engine wants it.
    if (!body.empty() && body.data() != body_) {
      if (std::byte* place = handler.sink(from_, head, body.size())) {
        memcpy(place, body.data(), body.size());
        body = {place, body.size()};
      }
    }
    handler.frame(from_, head, body);
    batch_ += head.size() + body.size();
  }
  body_ = nullptr;
  took_frames_ = true;
  acknowledge_now_ |= body.size() >= kPromptAck;
  frames_.fetch_add(1, std::memory_order_relaxed);
  // Only now: the acknowledgement says that the frame has taken effect.
  received_.store(link_.seq, std::memory_order_release);
}

// The body is copied once, from the sender's frame into its place here. The sender keeps the frame until this is acknowledged.
bool Receiver::deliver_placed(FrameHandler& handler, SharedRings* rings, std::span<const std::byte> head, uint64_t place) {
  const std::byte* from = rings ? rings->placed(place, link_.body_size) : nullptr;
  if (!from) {
    error_ = "body of " + std::to_string(link_.body_size) + " bytes where no memory is shared";
    return false;
  }
  if (!start_body(handler, head, {from, link_.body_size})) return false;
  in_body_ = false;
  bytes_.fetch_add(link_.body_size, std::memory_order_relaxed);
  deliver(handler, head, {body_, link_.body_size});
  own_body_.reset();
  return true;
}

bool Receiver::start_body(FrameHandler& handler, std::span<const std::byte> head, std::span<const std::byte> first) {
  head_.assign(head.begin(), head.end());
  body_ = nullptr;
  if (link_.kind != LinkKind::App) {
    if (!in_batch_) handler.begin(), batch_ = 0;
    in_batch_ = true;
    body_ = handler.sink(from_, head_, link_.body_size);
  }
  if (!body_) {
    own_body_.reset(new (std::nothrow) std::byte[link_.body_size]);
    body_ = own_body_.get();
  }
  if (!body_) {
    error_ = "no memory for a body of " + std::to_string(link_.body_size) + " bytes";
    return false;
  }
  memcpy(body_, first.data(), first.size());
  body_got_ = first.size();
  in_body_ = true;
  return true;
}

// Makes sure that `size` bytes from begin_ on fit into the buffer.
void Receiver::make_room(size_t size) {
  const size_t used = end_ - begin_;
  if (size > capacity_) {
    const size_t bigger = std::max(kBuffer, size + kTail);
    std::unique_ptr<std::byte[]> fresh(new std::byte[bigger]);
    if (used) memcpy(fresh.get(), buffer_.get() + begin_, used);
    buffer_ = std::move(fresh);
    capacity_ = bigger;
  } else if (begin_ > 0) {
    memmove(buffer_.get(), buffer_.get() + begin_, used);
  }
  begin_ = 0;
  end_ = used;
}

void Receiver::reset() {
  begin_ = end_ = 0;
  in_body_ = false;
  body_ = nullptr;
  own_body_.reset();
  buffer_.reset();
  capacity_ = 0;
  error_.clear();
}

}  // namespace dmi::memory::transport
