// One bit for each block of the region, while free space is being derived.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "pmemfs/types.hpp"

namespace pmemfs::store {

// Thread-safe. Memory is touched only where blocks are marked.
class UsedMap {
 public:
  explicit UsedMap(std::uint64_t blocks);

  // Marks the run, inside the map. False when a block of it was marked already: marking stops
  // there, so that all calls together cost no more than the map is long, whatever media claims.
  bool mark(BlockRun run);

  // Whether a block of the run, inside the map, is marked. Not while others mark.
  [[nodiscard]] bool any(BlockRun run) const;

  // The unmarked blocks at or after `first`, ascending. Not while others mark.
  [[nodiscard]] std::vector<BlockRun> unmarked(std::uint64_t first) const;

 private:
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };

  std::uint64_t blocks_;
  std::uint64_t words_;
  std::unique_ptr<std::uint64_t[], Free> bits_;
};

}  // namespace pmemfs::store
