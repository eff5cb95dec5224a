#include "fuse/receiver.hpp"

#include <unistd.h>

#include <cerrno>

namespace pmemfs::fuse {
namespace {

using Clock = std::chrono::steady_clock;
using Kind = Received::Kind;

std::int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch())
      .count();
}

Received read_once(Channel& channel, std::span<std::byte> buffer) {
  const ssize_t n = ::read(channel.device(), buffer.data(), buffer.size());
  if (n >= 0) {
    return {Kind::kRequest, static_cast<std::size_t>(n), 0, &channel, {}};
  }
  switch (errno) {
    case EINTR:
    case EAGAIN:
    case ENOENT:  // the caller gave up before the request was read
      return {Kind::kNothing, 0, errno, nullptr, {}};
    case ENODEV:        // unmounted
    case ECONNABORTED:  // cut off by the administrator
      return {Kind::kUnmounted, 0, errno, nullptr, {}};
    default:
      return {Kind::kFailed, 0, errno, nullptr, {}};
  }
}

}  // namespace

std::optional<Received> Poller::look(std::span<std::byte> buffer, Afterwork& afterwork) {
  if (!policy_.hot() || looking_.test_and_set(std::memory_order_acquire)) {
    return std::nullopt;
  }
  const Received received = spin(buffer, afterwork);
  looking_.clear(std::memory_order_release);
  if (received.kind == Kind::kNothing) {
    policy_.missed();
    return std::nullopt;
  }
  policy_.caught();
  return received;
}

Received Poller::spin(std::span<std::byte> buffer, Afterwork& afterwork) {
  std::int64_t last = now();
  std::int64_t end = last + policy_.window().count();
  for (;;) {
    const Received received = read_once(*channel_, buffer);
    if (received.kind != Kind::kNothing || received.error != EAGAIN) {
      return received;
    }
    const bool worked = afterwork.do_one();
    const std::int64_t time = now();
    if (worked) {
      last = time;
      end = time + policy_.window().count();
      continue;
    }
    if (time >= end || time - last > base::SpinPolicy::kDisturbed) {
      return received;
    }
    last = time;
    base::relax();
  }
}

void Poller::slept(std::int64_t at) {
  policy_.slept(base::SpinPolicy::Duration(at - answered_at_.load(std::memory_order_relaxed)));
}

Received Receiver::receive(std::span<std::byte> buffer, Afterwork& afterwork) {
  const std::int64_t start = now();
  std::optional<Received> caught;
  if (poller_ != nullptr) {
    poller_->answered(start);
    caught = poller_->look(buffer, afterwork);
  }
  if (!caught) {
    afterwork.do_all();
  }
  Received received = caught ? *caught : read_once(*channel_, buffer);
  const std::int64_t end = now();
  if (poller_ != nullptr && !caught && received.kind == Kind::kRequest) {
    poller_->slept(end);
  }
  received.waited = std::chrono::nanoseconds(end - start);
  return received;
}

}  // namespace pmemfs::fuse
