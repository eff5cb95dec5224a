// Where requests come from: the seam for other ways to wait for them (polling now, FUSE over
// io_uring later).
//
// Most of the time of a FUSE round trip is the wake-up of a sleeping daemon. So while requests come
// close upon each other one thread, never more, looks for the next one by non-blocking reads for a
// short while before it goes to sleep.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "base/spin_policy.hpp"
#include "fuse/afterwork.hpp"
#include "fuse/channel.hpp"

namespace pmemfs::fuse {

// What a read of the device gave.
struct Received {
  enum class Kind : std::uint8_t { kRequest, kNothing, kUnmounted, kFailed };
  Kind kind = Kind::kNothing;
  std::size_t size = 0;        // kRequest: bytes
  int error = 0;               // kFailed: errno
  Channel* channel = nullptr;  // kRequest: what it was read from, and must be answered through
  std::chrono::nanoseconds waited{0};  // from the call to its return
};

// A non-blocking clone of the connection, shared by all workers and used by one at a time.
// Thread-safe.
class Poller {
 public:
  Poller(std::unique_ptr<Channel> nonblocking, base::SpinPolicy::Duration window)
      : channel_(std::move(nonblocking)), policy_(window) {}

  // A request if one comes soon; nothing when it does not, or when another thread is looking
  // already. Afterwork is done while there is none.
  std::optional<Received> look(std::span<std::byte> buffer, Afterwork& afterwork);
  // The caller goes to wait for its next request; it got one by sleeping. `at`: nanoseconds of the
  // steady clock.
  void answered(std::int64_t at) { answered_at_.store(at, std::memory_order_relaxed); }
  void slept(std::int64_t at);

 private:
  Received spin(std::span<std::byte> buffer, Afterwork& afterwork);

  std::unique_ptr<Channel> channel_;
  base::SpinPolicy policy_;
  std::atomic_flag looking_;
  std::atomic<std::int64_t> answered_at_{0};  // nanoseconds of the steady clock
};

// One worker's way to receive. Not thread-safe.
class Receiver {
 public:
  // Reads `own`, or `shared` when there is none of its own. `poller` may be null.
  Receiver(std::unique_ptr<Channel> own, Channel& shared, Poller* poller)
      : own_(std::move(own)), channel_(own_ ? own_.get() : &shared), poller_(poller) {}

  // Blocks, with no afterwork left. Returns kNothing when a signal arrived, or when the request was
  // taken back.
  Received receive(std::span<std::byte> buffer, Afterwork& afterwork);

 private:
  std::unique_ptr<Channel> own_;
  Channel* channel_;
  Poller* poller_;
};

}  // namespace pmemfs::fuse
