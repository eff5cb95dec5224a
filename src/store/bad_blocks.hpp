// The blocks that memory errors took, remembered in the superblock.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include "format/layout.hpp"
#include "pmemfs/region.hpp"
#include "pmemfs/result.hpp"
#include "store/allocator.hpp"
#include "store/superblock.hpp"

namespace pmemfs::store {

// Before anything else of the region is touched: what `s` lists counts as lost from now on, and a
// place of the superblock that cannot be read.
void count_listed_as_lost(Region& region, const format::Superblock& s);

// Thread-safe; needs no locks of the caller. Its mutex comes before those of the allocator and of
// the superblock.
class BadBlocks {
 public:
  BadBlocks(Region& region, const format::Layout& layout, SuperblockKeeper& superblock,
            Allocator& blocks)
      : region_(region), layout_(layout), superblock_(superblock), blocks_(blocks) {}

  // Takes over what `s` lists. Before blocks are added to the allocator.
  void load(const format::Superblock& s);

  // Lists what was met since the last call, on media too where that can be; what cannot be recorded
  // is said in the log, and met again by the next mount. One load when there is nothing new.
  void note() {
    if (region_.media_events() != noted_.load(std::memory_order_acquire)) {
      note_met();
    }
  }
  // The same for what was found by looking (Region::readable).
  void add(BlockRun run);

  // Makes blocks of the list that belong to nobody, or whose content is to be overwritten or
  // mended by the caller, good: zeros. They are off the list when that is durable. As
  // Region::heal(); EIO: on the list still.
  Status heal(BlockRun run);
  // Takes blocks off the list that the caller has healed and filled. On an error they stay there.
  Status forget(BlockRun run);

  [[nodiscard]] std::vector<BlockRun> runs() const;  // ascending, apart
  [[nodiscard]] std::uint64_t count() const;         // blocks
  [[nodiscard]] bool contains(BlockRun run) const;   // some of it

  // Sets the size of the filesystem in the superblock, with the list as it is then: what lies
  // beyond is off.
  Status resize(std::uint64_t blocks);

 private:
  void note_met();
  bool list(BlockRun run);  // false: all of it was
  Status record();
  void put_into(format::Superblock& s) const;

  Region& region_;
  const format::Layout& layout_;
  SuperblockKeeper& superblock_;
  Allocator& blocks_;
  mutable std::mutex mutex_;
  std::map<std::uint64_t, std::uint64_t> bad_;  // start → count
  std::atomic<std::uint64_t> noted_{0};         // media_events() when it was looked last
};

}  // namespace pmemfs::store
