// What a scan would find, left on media by a clean unmount.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "format/layout.hpp"
#include "pmemfs/format.hpp"
#include "pmemfs/region.hpp"
#include "pmemfs/types.hpp"
#include "store/inode_numbers.hpp"

namespace pmemfs::store {

struct Snapshot {
  std::vector<BlockRun> free_blocks;  // ascending
  std::vector<InodeRun> free_inodes;  // ascending
  std::uint64_t inodes_used = 0;
  std::uint64_t inode_limit = 0;
  std::uint64_t durable_bytes = 0;
};

// Blocks that the snapshot takes.
[[nodiscard]] std::uint64_t snapshot_blocks(const Snapshot& snapshot);

// Writes and fences it in a run of free blocks, for the superblock whose count will be `update`.
void write_snapshot(Region& region, const Snapshot& snapshot, BlockRun place, std::uint64_t update);

// The snapshot that `s` points to; nullopt when there is none or anything about it is wrong.
[[nodiscard]] std::optional<Snapshot> read_snapshot(const Region& region,
                                                    const format::Layout& layout,
                                                    const format::Superblock& s);

}  // namespace pmemfs::store
