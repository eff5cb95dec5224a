// Free blocks, in DRAM only: what open() derives and commits give back.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <vector>

#include "pmemfs/types.hpp"
#include "store/change.hpp"

namespace pmemfs::store {

// Runs of free blocks by start and by size. Memory follows the number of runs. Thread-safe.
class Allocator {
 public:
  // Makes a run free. False (and nothing done) when part of it is free already: media lied.
  bool add(BlockRun run);

  // A run of 1 to `count` blocks (exactly `count` with hint.whole), aligned as asked. The run at
  // hint.near if that is free, else one from the smallest fitting size, lowest address first, so
  // that large runs stay whole. nullopt: none.
  std::optional<BlockRun> take(std::uint64_t count, const AllocationHint& hint);

  // Blocks that two owners claim: never free again in this mount (invariant 2).
  void distrust(BlockRun run);

  // Sets a range apart that is to be emptied: its free blocks, and those freed in it later, go to
  // nobody until the hold ends. False, and nothing done, when it overlaps a held range.
  bool hold(BlockRun range);
  // Holds what of the range is not held yet; returns the holds that this took.
  std::vector<BlockRun> hold_rest(BlockRun range);
  [[nodiscard]] bool is_held(BlockRun range) const;  // as a whole, by one hold()
  // Ends the hold: what is free in the range is free for all again.
  void let_go(BlockRun range);
  void let_go_all();
  // Ends the hold and gives the range to the caller when all of it is free; else false, and it goes
  // on.
  bool take_held(BlockRun range);
  // The range, at the end of all blocks, ceases to be: when all of it is free and held, else false.
  bool cut_off(BlockRun range);

  // Without what is held.
  [[nodiscard]] std::uint64_t free_blocks() const;
  [[nodiscard]] std::uint64_t free_in(BlockRun range) const;  // held or not
  // How many whole aligned pieces of `size` blocks are free.
  [[nodiscard]] std::uint64_t aligned_pieces(std::uint64_t size) const;
  [[nodiscard]] std::vector<BlockRun> runs() const;  // ascending
  [[nodiscard]] BlockRun largest() const;            // empty when nothing is free

 private:
  static constexpr std::size_t kClasses = 40;  // by the highest bit of the count
  using ByStart = std::map<std::uint64_t, std::uint64_t>;

  void insert_run(std::uint64_t start, std::uint64_t count);
  void erase_run(ByStart::iterator run);
  void carve(ByStart::iterator run, BlockRun piece);
  static bool merge_into(ByStart& runs, BlockRun run);
  struct Hold {
    std::uint64_t end = 0;
    ByStart free;
    std::uint64_t count = 0;  // of free blocks
  };

  [[nodiscard]] ByStart::iterator first_overlap(std::uint64_t start);
  bool add_locked(BlockRun run);
  bool add_around_holds(BlockRun run);
  static bool set_aside(Hold& hold, BlockRun run);
  void begin_hold(BlockRun range);
  [[nodiscard]] std::uint64_t held_free_in(BlockRun range) const;
  void end_hold(std::map<std::uint64_t, Hold>::iterator hold);
  void add_trusted(BlockRun run);
  [[nodiscard]] std::optional<BlockRun> find_near(std::uint64_t count, const AllocationHint& h);
  [[nodiscard]] std::optional<BlockRun> find_fit(std::uint64_t count, std::uint64_t alignment,
                                                 bool thorough);
  [[nodiscard]] std::optional<BlockRun> find_largest(std::uint64_t count, std::uint64_t alignment);

  mutable std::mutex mutex_;
  ByStart by_start_;  // start → count
  std::array<std::set<std::uint64_t>, kClasses> by_size_;
  ByStart distrusted_;
  std::map<std::uint64_t, Hold> holds_;  // by the start of the range
  std::uint64_t free_ = 0;
};

}  // namespace pmemfs::store
