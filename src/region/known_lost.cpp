// The bytes of a region that are known to be lost before they are touched.
#include <algorithm>
#include <iterator>
#include <mutex>

#include "pmemfs/region.hpp"

namespace pmemfs {

void Region::count_as_lost(ByteOff off, std::uint64_t n) {
  const std::unique_lock lock(known_mutex_);
  std::uint64_t start = off.value;
  std::uint64_t end = off.value + n;
  auto at = known_.upper_bound(start);
  if (at != known_.begin() && std::prev(at)->second >= start) {
    --at;
  }
  while (at != known_.end() && at->first <= end) {
    start = std::min(start, at->first);
    end = std::max(end, at->second);
    at = known_.erase(at);
  }
  known_.emplace(start, end);
  some_known_.store(true, std::memory_order_release);
}

void Region::count_as_good(ByteOff off, std::uint64_t n) {
  const std::unique_lock lock(known_mutex_);
  const std::uint64_t end = off.value + n;
  auto at = known_.upper_bound(off.value);
  at = at == known_.begin() ? at : std::prev(at);
  while (at != known_.end() && at->first < end) {
    const auto [from, to] = *at;
    if (to <= off.value) {
      ++at;
      continue;
    }
    at = known_.erase(at);
    if (from < off.value) {
      known_.emplace(from, off.value);
    }
    if (to > end) {
      known_.emplace(end, to);
    }
  }
}

bool Region::known_lost(ByteOff off, std::uint64_t n) const {
  if (n == 0 || !some_known_.load(std::memory_order_acquire)) {
    return false;
  }
  const std::shared_lock lock(known_mutex_);
  const auto after = known_.lower_bound(off.value + n);
  return after != known_.begin() && std::prev(after)->second > off.value;
}

Status Region::heal(ByteOff off, std::uint64_t n) {
  if (read_only()) {
    return Error(EROFS);
  }
  PMEMFS_CHECK(heal_medium(off, n));
  count_as_good(off, n);
  return {};
}

}  // namespace pmemfs
