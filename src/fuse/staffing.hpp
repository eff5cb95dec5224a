// How many threads should wait for requests at once.
//
// The kernel wakes waiting threads in turn: with many of them each request wakes one that has slept
// longest, on a cold processor, and a single client is served at the speed of those wake-ups. So
// one thread waits and serves, again and again; more only while requests pile up.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace pmemfs::fuse {

// Decides from how long each thread had to wait for its next request. Thread-safe; approximate
// under contention, which does no harm.
class Staffing {
 public:
  using Duration = std::chrono::nanoseconds;

  // Between 1 and `most` threads.
  explicit Staffing(unsigned most) : most_(most) {}

  [[nodiscard]] unsigned wanted() const { return wanted_.load(std::memory_order_relaxed); }
  // A thread asked for a request and got one after `gap`. True: one more thread is wanted now.
  bool waited(Duration gap);

 private:
  // A request that came so soon had been there before it was asked for.
  static constexpr Duration kQueued{3'000};
  // So long a wait: the thread slept, there was too little to do.
  static constexpr Duration kSlept{50'000};
  static constexpr std::uint32_t kPressure = 8;  // requests that were queued, in a row
  static constexpr std::uint32_t kEase = 64;     // sleeps, with no such row between them

  const unsigned most_;
  std::atomic<unsigned> wanted_{1};
  std::atomic<std::uint32_t> queued_{0};
  std::atomic<std::uint32_t> slept_{0};
};

}  // namespace pmemfs::fuse
