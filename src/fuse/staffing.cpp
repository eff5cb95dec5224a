#include "fuse/staffing.hpp"

namespace pmemfs::fuse {

bool Staffing::waited(Duration gap) {
  const unsigned present = wanted();
  if (gap > kQueued) {
    queued_.store(0, std::memory_order_relaxed);
    if (gap > kSlept && present > 1 &&
        slept_.fetch_add(1, std::memory_order_relaxed) + 1 >= kEase) {
      slept_.store(0, std::memory_order_relaxed);
      wanted_.store(present - 1, std::memory_order_relaxed);
    }
    return false;
  }
  if (queued_.fetch_add(1, std::memory_order_relaxed) + 1 < kPressure || present >= most_) {
    return false;
  }
  queued_.store(0, std::memory_order_relaxed);
  slept_.store(0, std::memory_order_relaxed);
  wanted_.store(present + 1, std::memory_order_relaxed);
  return true;
}

}  // namespace pmemfs::fuse
