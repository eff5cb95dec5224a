// Where the fixed structures of a region lie, and so where everything else may.
#pragma once

#include <atomic>
#include <cstdint>

#include "pmemfs/format.hpp"
#include "pmemfs/types.hpp"

namespace pmemfs::format {

// Whether the version and the incompat features of `s` are known.
[[nodiscard]] bool understood(const Superblock& s);

// Whether the fixed parts that `s` names lie inside its region and apart from each other, and its
// enumerations have known values. Independent of the crc: a crc proves who wrote it, not sense.
[[nodiscard]] bool well_formed(const Superblock& s);

// Tells which blocks metadata and data may use. Thread-safe; the region may grow and shrink
// meanwhile.
class Layout {
 public:
  // `s` must be well_formed().
  explicit Layout(const Superblock& s);

  // Every pointer to a run that comes from media goes through this before it is followed
  // (invariant 7): count ≥ 1, inside the region, off the superblocks and the lanes.
  [[nodiscard]] bool usable(BlockRun run) const;
  [[nodiscard]] bool usable(BlockNo block) const { return usable(BlockRun{block, 1}); }

  [[nodiscard]] std::uint64_t blocks() const { return blocks_.load(std::memory_order_acquire); }
  void resized(std::uint64_t blocks) { blocks_.store(blocks, std::memory_order_release); }

  // The first block that may be usable: everything before it is fixed.
  [[nodiscard]] std::uint64_t first() const { return first_; }

 private:
  std::uint64_t first_;
  std::atomic<std::uint64_t> blocks_;
};

[[nodiscard]] constexpr ByteOff byte_off(BlockNo block, std::uint64_t inside = 0) {
  return ByteOff(block.value * kBlockSize + inside);
}

}  // namespace pmemfs::format
