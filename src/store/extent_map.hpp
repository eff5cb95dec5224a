// The extents of one inode: sorted in DRAM, a chain of slot blocks on media.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "store/change.hpp"

namespace pmemfs::store {

// `count` file blocks from `logical` on. physical 0: a hole.
struct Mapping {
  std::uint64_t logical = 0;
  BlockNo physical;
  std::uint64_t count = 0;
  bool unwritten = false;
};

[[nodiscard]] inline std::uint64_t blocks_of(const std::vector<Mapping>& mappings) {
  std::uint64_t n = 0;
  for (const Mapping& m : mappings) {
    n += m.count;
  }
  return n;
}

// Lock: the inode's, shared for the const functions, exclusive for the others.
// A function that fails has changed neither the map nor the inode nor the change. When the change
// that a successful call went into is not committed, discard the object: it is ahead of the media.
class ExtentMap {
 public:
  // Reads and checks the chain: owner, crc, range inside the region, no overlap. EUCLEAN.
  static Result<std::unique_ptr<ExtentMap>> load(Store& store, const format::Inode& inode);

  // The mapping or hole that holds `logical`, cut to begin there; a hole's count reaches to the
  // next mapping or to kMaxFileSize.
  [[nodiscard]] Mapping at(std::uint64_t logical) const;
  // All mappings, ascending, holes left out.
  [[nodiscard]] std::vector<Mapping> all() const;
  // First mapping at or after `logical`; count 0 if none.
  [[nodiscard]] Mapping next(std::uint64_t logical) const;
  [[nodiscard]] std::size_t size() const;  // number of extents

  // Maps blocks over a hole; merges with the neighbours. Updates inode.data, extents and
  // data_blocks; the caller puts the inode.
  Status insert(Change& change, format::Inode& inode, const Mapping& mapping);
  // Unmaps [logical, logical + count) and releases the blocks. Splits as needed. E2BIG when that
  // takes more records than `change` has room for (over some 500 extents): then remove_some().
  Status remove(Change& change, format::Inode& inode, std::uint64_t logical, std::uint64_t count);
  // The same from the end of the range backwards, as far as half of the room in `change` allows and
  // one extent at least. Returns how many blocks of the range are left to further changes, counted
  // from `logical`: 0 when all is done. Unmapping a whole file always is, in one.
  Result<std::uint64_t> remove_some(Change& change, format::Inode& inode, std::uint64_t logical,
                                    std::uint64_t count);
  // Clears the unwritten flag in the range (which must be mapped); splits as needed. E2BIG as
  // above.
  Status mark_written(Change& change, format::Inode& inode, std::uint64_t logical,
                      std::uint64_t count);

  // Extent blocks of the chain, which are no data of the file.
  [[nodiscard]] std::uint64_t chain_blocks_in(BlockRun range) const;
  // Moves extent blocks out of `range`, as many as one change should take; returns how many, 0 when
  // none are left there. The first of this map in its change. ENOSPC.
  Result<std::uint64_t> move_chain(Change& change, format::Inode& inode, BlockRun range);

 private:
  struct Node {
    BlockNo physical;
    std::uint32_t count = 0;
    std::uint32_t slot = 0;  // 0 to 2: in the inode; else 3 + 126 * chain id + index
    bool unwritten = false;
  };
  using Nodes = std::map<std::uint64_t, Node>;  // by logical block

  // One extent block. Ids are indices of chain_ and stay while the block is linked.
  struct Link {
    BlockNo block;  // none: this id is free
    std::uint64_t used[2] = {};
    std::uint32_t prev = kNoLink;
    std::uint32_t next = kNoLink;
    bool touched = false;
    bool roomy = false;  // listed in roomy_
  };
  static constexpr std::uint32_t kNoLink = 0xFFFFFFFF;

  Status load_chain(const Store& store, const format::Inode& inode);
  Status load_block(const Store& store, const format::Inode& inode, BlockNo block);
  Status add_loaded(const Store& store, const format::Extent& extent, std::uint32_t slot);
  std::uint32_t new_link(BlockNo block);

  // Slots. reserve() makes sure that `n` can be taken; put_slot() and drop_slot() cannot fail.
  Status reserve(Change& change, format::Inode& inode, std::uint32_t n);
  std::uint32_t take_slot();
  void put_slot(Change& change, format::Inode& inode, std::uint64_t logical, const Node& node);
  void drop_slot(format::Inode& inode, std::uint32_t slot);
  void touch(std::uint32_t id);
  void list_roomy(std::uint32_t id);
  void unlink_empty(Change& change, format::Inode& inode);
  // Writes the headers of touched extent blocks; blocks without extents leave the chain.
  void settle(Change& change, format::Inode& inode);
  [[nodiscard]] std::uint32_t free_slots(std::uint32_t enough) const;

  Nodes::iterator first_overlap(std::uint64_t logical);
  [[nodiscard]] Nodes::const_iterator first_overlap(std::uint64_t logical) const;
  void place(Change& change, format::Inode& inode, const Mapping& mapping);
  [[nodiscard]] bool joins_before(const Mapping& mapping) const;
  [[nodiscard]] bool joins_after(const Mapping& mapping) const;
  // Unmaps the part of one node inside [from, to); returns the next node.
  Nodes::iterator cut(Change& change, format::Inode& inode, Nodes::iterator node,
                      std::uint64_t from, std::uint64_t to);
  [[nodiscard]] bool splits(std::uint64_t from, std::uint64_t to) const;
  [[nodiscard]] std::uint64_t log_bound(std::uint64_t from, std::uint64_t to) const;
  [[nodiscard]] std::uint32_t slots_to_write(std::uint64_t from, std::uint64_t to) const;
  void write_pieces(Change& change, format::Inode& inode, std::uint64_t from, std::uint64_t to);

  Nodes nodes_;
  std::vector<Link> chain_;
  std::vector<std::uint32_t> free_ids_;
  std::vector<std::uint32_t> roomy_;    // ids that may have a free slot; checked when used
  std::vector<std::uint32_t> touched_;  // ids whose header differs from media
  std::uint32_t head_ = kNoLink;
  std::uint32_t inline_used_ = 0;  // bit i: extents[i] of the inode

  friend Status release_extents(Change& change, const format::Inode& inode);
};

// Releases all data blocks and extent blocks of an inode that is being freed. Nothing to do for
// symlinks (a long target is a blob) and devices. EUCLEAN: a damaged chain, nothing released.
Status release_extents(Change& change, const format::Inode& inode);

}  // namespace pmemfs::store
