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
  // Unmaps [logical, logical + count) and releases the blocks. Splits as needed.
  Status remove(Change& change, format::Inode& inode, std::uint64_t logical, std::uint64_t count);
  // Clears the unwritten flag in the range (which must be mapped); splits as needed.
  Status mark_written(Change& change, format::Inode& inode, std::uint64_t logical,
                      std::uint64_t count);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// Releases all data blocks and extent blocks of an inode that is being freed.
Status release_extents(Change& change, const format::Inode& inode);

}  // namespace pmemfs::store
