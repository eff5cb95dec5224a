#pragma once

#include <cstdint>
#include <mutex>
#include <numeric>
#include <unordered_map>

#include "pmemfs/types.hpp"

namespace pmemfs::virtiofs {

// How many places of a window are which file's: told without waiting for who changes the window,
// and so for its VMM. Thread-safe.
class FileTally {
 public:
  void add(InodeNo ino) {
    const std::lock_guard lock(mutex_);
    ++places_[ino];
  }
  // One that was added.
  void drop(InodeNo ino) {
    const std::lock_guard lock(mutex_);
    const auto found = places_.find(ino);
    if (--found->second == 0) {
      places_.erase(found);
    }
  }
  [[nodiscard]] bool has(InodeNo ino) const {
    const std::lock_guard lock(mutex_);
    return places_.contains(ino);
  }
  [[nodiscard]] std::uint64_t all() const {
    const std::lock_guard lock(mutex_);
    return std::accumulate(places_.begin(), places_.end(), std::uint64_t{0},
                           [](std::uint64_t sum, const auto& file) { return sum + file.second; });
  }

 private:
  mutable std::mutex mutex_;
  std::unordered_map<InodeNo, std::uint64_t> places_;
};

}  // namespace pmemfs::virtiofs
