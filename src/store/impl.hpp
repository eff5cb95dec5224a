// The parts of an open Store, for the files of this folder.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

#include "format/layout.hpp"
#include "journal/journal.hpp"
#include "store/allocator.hpp"
#include "store/bad_blocks.hpp"
#include "store/inode_numbers.hpp"
#include "store/inode_table.hpp"
#include "store/store.hpp"
#include "store/superblock.hpp"

namespace pmemfs::store {

// What open() found and commits keep true.
struct Counters {
  std::atomic<std::int64_t> inodes_used{0};
  std::atomic<std::int64_t> durable_bytes{0};
  std::atomic<std::int64_t> orphans{0};  // inodes in use with nlink 0
};

[[nodiscard]] constexpr journal::Geometry lanes_of(const format::Superblock& s) {
  return {BlockNo(s.lane_start.load()), s.lane_count.load(), s.lane_blocks.load()};
}

struct Store::Impl {
  Impl(Region& r, const format::Superblock& s)
      : region(r),
        layout(s),
        superblock(r, s),
        journal(r, lanes_of(s)),
        blocks(Allocator::shift_for(layout.blocks())),
        bad(r, layout, superblock, blocks),
        table(r, layout, BlockNo(s.inode_root.load()), BlockNo(s.inode_root_copy.load())),
        growable(s.kind.load() == static_cast<std::uint32_t>(format::RegionKind::kDirectory)) {}

  // Makes the region larger, where it can grow, by at least `wanted` blocks. ENOSPC.
  Status grow(std::uint64_t wanted);
  // The blocks between the end of the filesystem and block `end`, which the region has, become
  // free.
  Status adopt(std::uint64_t end);

  Region& region;
  format::Layout layout;
  SuperblockKeeper superblock;
  journal::Journal journal;
  Allocator blocks;
  BadBlocks bad;
  InodeNumbers numbers;
  InodeTable table;
  Counters counters;
  const bool growable;  // only the region file of a directory region is ours to grow

  std::mutex grow_mutex;
  std::mutex generation_mutex;  // reserving a batch
  std::atomic<std::uint64_t> next_generation{0};
  std::atomic<std::uint64_t> generation_limit{0};  // the superblock's next_generation

  std::mutex orphans_mutex;
  std::vector<InodeNo> orphans;
  std::vector<InodeNo> exported;  // under the same
  bool trusted = true;            // the scan found no damage: a snapshot may be left
  bool closed = false;
  bool mappings_suspected = false;  // constant once open
  format::Uuid boot{};
};

// Copies a slot; a lost one is damaged, and not touched when that is known.
[[nodiscard]] SlotState read_slot(const Region& region, ByteOff slot, std::uint64_t ino,
                                  format::Inode* copy);

}  // namespace pmemfs::store
