// The inode table: from an inode number to its slot, and growth by chunks of 256.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <vector>

#include "format/layout.hpp"
#include "pmemfs/format.hpp"
#include "pmemfs/region.hpp"
#include "pmemfs/result.hpp"
#include "pmemfs/types.hpp"

namespace pmemfs::store {

class Change;
class InodeNumbers;
class Store;

// What the copy of a slot is. All zeros, as growth leaves it, is free.
enum class SlotState : std::uint8_t { kFree, kUsed, kDamaged };
[[nodiscard]] SlotState slot_state(const format::Inode& i, std::uint64_t ino);

// What walk() meets. All blocks are inside the region.
struct TableVisitor {
  // An index block, not yet checked. False: met before, or enough; it is not entered.
  std::function<bool(BlockNo block)> index;
  std::function<void(std::uint64_t first_ino, BlockNo chunk)> chunk;
  // An index block or a pointer is wrong: nothing is known of inodes [first, end).
  std::function<void(std::uint64_t first, std::uint64_t end)> damaged;
};

// Thread-safe.
class InodeTable {
 public:
  InodeTable(const Region& region, const format::Layout& layout, BlockNo root);
  ~InodeTable();
  InodeTable(const InodeTable&) = delete;
  InodeTable& operator=(const InodeTable&) = delete;

  // Where the slot of `ino` lies. ENOENT: beyond the table; EUCLEAN: an index block is damaged.
  [[nodiscard]] Result<ByteOff> locate(InodeNo ino) const;

  // Visits index blocks and chunks, ascending. Reads media, not the cache. Nothing of the table
  // moves meanwhile: the visitor must not change it, nor wait for who does.
  void walk(const TableVisitor& visitor) const;

  // Inode numbers below this have a chunk (or a damaged index block).
  [[nodiscard]] std::uint64_t limit() const { return limit_.load(std::memory_order_acquire); }
  void set_limit(std::uint64_t limit) {
    limit_.store(std::min(limit, format::kMaxInode + 1), std::memory_order_release);
  }

  // Adds a chunk at the end, in a transaction of its own, and its numbers to `numbers`; does
  // nothing when the limit is no longer `seen`. ENOSPC, EROFS, EUCLEAN.
  Status extend(Store& store, InodeNumbers& numbers, std::uint64_t seen);

  // The first inode of each chunk that touches `range`, ascending.
  [[nodiscard]] std::vector<InodeNo> chunks_in(BlockRun range) const;
  // Runs `work` under the exclusive lock of the inode, in use or not.
  using WithLock = std::function<void(InodeNo ino, const std::function<void()>& work)>;
  // Moves the chunk that begins with inode `first` to free blocks, in a transaction of its own.
  // Returns how many. One caller at a time, without locks. ENOSPC: it wants kChunkBlocks in a row;
  // EROFS, EUCLEAN.
  Result<std::uint64_t> move_chunk(Store& store, InodeNo first, const WithLock& with_lock);
  // Where else the slot of `ino` is to be written while its chunk moves; asked after locate(),
  // under the inode's lock.
  [[nodiscard]] std::optional<ByteOff> second_place(InodeNo ino) const;
  // Moves one index block out of `range`, in a transaction of its own; the root stays. Returns how
  // many moved: 0 when none is left there. ENOSPC, EROFS, EUCLEAN.
  Result<std::uint64_t> move_index(Store& store, BlockRun range);

 private:
  // Chunk addresses below one lowest index block, checked once and kept.
  struct Segment {
    std::array<std::atomic<std::uint64_t>, format::kIndexFanout> chunk{};
  };
  struct Free {
    void operator()(void* p) const;
  };
  using Slot = std::atomic<Segment*>;

  struct Place {
    BlockNo block;
    std::uint32_t level = 0;
  };

  Result<Place> lowest(std::uint64_t ino) const;
  // Where in the index the first block in `range` is pointed to; level 0 blocks are leaves.
  struct Pointer {
    Place place;
    std::uint64_t slot = 0;
    BlockNo to;  // none: nothing found
  };
  Result<Pointer> index_block_in(Place place, BlockRun range) const;
  static void put_child(Change& change, Place place, format::IndexBlock& index, std::uint64_t slot,
                        BlockNo child);
  // The chunk from now on is the one at `to`. Returns where it was.
  Result<BlockRun> turn_to(Store& store, InodeNo first, BlockNo to);
  // The pointers of the table on media change: not while walk() reads them.
  Status commit(Change& change);
  Result<Segment*> load_segment(std::uint64_t number) const;
  Result<format::IndexBlock> read_index(BlockNo block, std::uint32_t level) const;
  Result<BlockNo> child(BlockNo block, std::uint32_t level, std::uint64_t slot) const;
  Status link(Store& store, std::uint64_t number, BlockNo chunk);
  void walk_index(const TableVisitor& v, BlockNo block, std::uint32_t level,
                  std::uint64_t first) const;
  void walk_child(const TableVisitor& v, std::uint64_t child, std::uint32_t level,
                  std::uint64_t first) const;

  const Region& region_;
  const format::Layout& layout_;
  BlockNo root_;
  std::atomic<std::uint64_t> limit_{0};
  mutable std::mutex mutex_;           // loading segments; extending; moving
  mutable std::shared_mutex walking_;  // shared: walk(); after mutex_
  // Which chunk moves, and where to (Moving), in one word so that they are never read apart.
  std::atomic<std::uint64_t> moving_{0};
  std::unique_ptr<Slot[], Free> segments_;  // one for each possible lowest index block
};

}  // namespace pmemfs::store
