#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace pmemfs::base {

// When looking is worth its processor time: after several short gaps in a row. A look in vain
// doubles how many of them it takes, a success that lasted sets it back; being disturbed (another
// program wanted the processor) counts as in vain. An idle daemon never looks. Thread-safe; its
// counts are approximate under contention, which does no harm.
class SpinPolicy {
 public:
  using Duration = std::chrono::nanoseconds;

  // Two looks in a row that lie further apart: something else ran on this processor.
  static constexpr std::int64_t kDisturbed = 30'000;  // nanoseconds

  explicit SpinPolicy(Duration window) : window_(window) {}

  [[nodiscard]] Duration window() const { return window_; }
  [[nodiscard]] bool hot() const { return hot_.load(std::memory_order_relaxed); }

  void slept(Duration gap);  // a request was slept for; `gap` since the last answer
  void caught();             // looking found a request
  void missed();             // it found none

 private:
  static constexpr std::uint32_t kLeastNeeded = 4;
  static constexpr std::uint32_t kMostNeeded = 256;
  static constexpr std::uint32_t kGoodStreak = 64;  // requests caught in a row
  static constexpr int kSleepFactor = 5;  // a gap that includes wake-ups of both sides is longer

  Duration window_;
  std::atomic<bool> hot_{false};
  std::atomic<std::uint32_t> short_gaps_{0};
  std::atomic<std::uint32_t> needed_{kLeastNeeded};
  std::atomic<std::uint32_t> streak_{0};
};

// What a loop that looks again and again does between two looks.
inline void relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

}  // namespace pmemfs::base
