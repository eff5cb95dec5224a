// Free inode numbers that have a slot in the inode table; in DRAM only.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

namespace pmemfs::store {

// `count` numbers from `start` on.
struct InodeRun {
  std::uint64_t start = 0;
  std::uint64_t count = 0;
  bool operator==(const InodeRun&) const = default;
};

// Thread-safe. Numbers come lowest first, except that a few freed last come back first: their
// slots are in the cache. Memory follows the number of runs.
class InodeNumbers {
 public:
  void add(InodeRun run);
  void put(std::uint64_t number);  // one number
  std::optional<std::uint64_t> take();

  [[nodiscard]] std::vector<InodeRun> runs() const;  // ascending

 private:
  static constexpr std::size_t kRecent = 512;

  void spill();

  mutable std::mutex mutex_;
  std::vector<std::uint64_t> recent_;            // at most kRecent, the last freed at the back
  std::map<std::uint64_t, std::uint64_t> runs_;  // start → count
};

}  // namespace pmemfs::store
