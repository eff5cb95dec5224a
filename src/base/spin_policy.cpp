#include "base/spin_policy.hpp"

#include <algorithm>

namespace pmemfs::base {

void SpinPolicy::slept(Duration gap) {
  if (window_.count() == 0) {
    return;
  }
  if (gap > window_ * kSleepFactor) {
    short_gaps_.store(0, std::memory_order_relaxed);
    return;
  }
  const std::uint32_t gaps = short_gaps_.fetch_add(1, std::memory_order_relaxed) + 1;
  if (gaps >= needed_.load(std::memory_order_relaxed)) {
    hot_.store(true, std::memory_order_relaxed);
  }
}

void SpinPolicy::caught() {
  if (streak_.fetch_add(1, std::memory_order_relaxed) + 1 == kGoodStreak) {
    needed_.store(kLeastNeeded, std::memory_order_relaxed);
  }
}

void SpinPolicy::missed() {
  const std::uint32_t needed = needed_.load(std::memory_order_relaxed);
  if (streak_.exchange(0, std::memory_order_relaxed) < kGoodStreak) {
    needed_.store(std::min(needed * 2, kMostNeeded), std::memory_order_relaxed);
  }
  short_gaps_.store(0, std::memory_order_relaxed);
  hot_.store(false, std::memory_order_relaxed);
}

}  // namespace pmemfs::base
