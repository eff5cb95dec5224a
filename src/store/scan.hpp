// Derives what is in use from the inode table: after a crash, or when there is no snapshot.
#pragma once

#include <cstdint>
#include <vector>

#include "format/layout.hpp"
#include "pmemfs/region.hpp"
#include "pmemfs/types.hpp"
#include "store/inode_numbers.hpp"
#include "store/inode_table.hpp"

namespace pmemfs::store {

struct ScanResult {
  std::vector<BlockRun> free_blocks;    // ascending
  std::vector<InodeRun> free_inodes;    // ascending
  std::vector<InodeNo> orphans;         // in use with nlink 0, ascending
  std::vector<InodeNo> exported;        // virtual machines may map them, in no order
  std::vector<BlockRun> claimed_twice;  // must not become free in this mount
  std::uint64_t inodes_used = 0;
  std::uint64_t inode_limit = 0;
  std::uint64_t durable_bytes = 0;
  std::uint64_t damaged = 0;  // structures whose crc, owner or pointers are wrong
};

// Reads every inode and every chain of blocks, on all processors. Survives any content of the
// region: time is bounded by its size.
[[nodiscard]] ScanResult scan(const Region& region, const format::Layout& layout,
                              const InodeTable& table);

}  // namespace pmemfs::store
