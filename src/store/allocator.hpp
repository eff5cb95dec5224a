// Free blocks, in DRAM only: what open() derives and commits give back.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "pmemfs/types.hpp"
#include "store/block_group.hpp"
#include "store/change.hpp"

namespace pmemfs::store {

// The region in groups of equal size, each with a mutex of its own, so that threads seldom wait for
// each other. The size is chosen for the region as it is at first and leaves room for it to double;
// the last group has all that is beyond (until the next mount, which chooses anew). Thread-safe;
// mutexes of several groups are taken in ascending order.
class Allocator {
 public:
  static constexpr std::uint64_t kGroups = 64;
  static constexpr unsigned kMinShift = 14;  // 64 MiB

  // The blocks of a group are 2^shift, shift ≥ 9, so that no aligned 2 MiB lie across a border.
  explicit Allocator(unsigned shift = kMinShift);
  // For a region of so many blocks: at most 32 groups at first.
  [[nodiscard]] static unsigned shift_for(std::uint64_t blocks);

  // Makes a run free. False (and nothing done) when part of it is free already: media lied.
  bool add(BlockRun run);

  // A run of 1 to `count` blocks (exactly `count` with hint.whole), aligned as asked. The run at
  // hint.near if that is free, else one from the smallest fitting size, lowest address first, so
  // that large runs stay whole: in the group of hint.near or, without that, in the group that the
  // calling thread begins with, then in the others. Only a whole run reaches across a border of
  // groups; what ends at one goes on behind it with hint.near. nullopt: none.
  std::optional<BlockRun> take(std::uint64_t count, const AllocationHint& hint);

  // Blocks that two owners claim: never free again in this mount (invariant 2).
  void distrust(BlockRun run);

  // Blocks that memory errors took: from now on they go to nobody, free ones included, until they
  // are good again.
  void set_bad(BlockRun run);
  void set_good(BlockRun run);
  // Those of them that are free; ascending, apart. They belong to nobody as long as they are bad.
  [[nodiscard]] std::vector<BlockRun> bad_free() const;

  // Sets a range apart that is to be emptied: its free blocks, and those freed in it later, go to
  // nobody until the hold ends. False, and nothing done, when it overlaps a held range.
  bool hold(BlockRun range);
  // Holds what of the range is not held yet; returns the holds that this took.
  std::vector<BlockRun> hold_rest(BlockRun range);
  [[nodiscard]] bool is_held(BlockRun range) const;  // as a whole, by one hold()
  // Ends the hold: what is free in the range is free for all again.
  void let_go(BlockRun range);
  void let_go_all();
  // Ends the hold and gives the range to the caller when all of it is free and none bad; else
  // false, and it goes on.
  bool take_held(BlockRun range);
  // The range, at the end of all blocks, ceases to be: when all of it is free and held, or bad;
  // else false.
  bool cut_off(BlockRun range);

  // These, but for largest(), look at one group after the other: a block that changes hands
  // meanwhile is counted or not.

  // Without what is held, and what is bad.
  [[nodiscard]] std::uint64_t free_blocks() const;
  [[nodiscard]] std::uint64_t free_in(BlockRun range) const;  // held or bad or not
  // How many whole aligned pieces of `size` blocks, a power of two up to 512, are free.
  [[nodiscard]] std::uint64_t aligned_pieces(std::uint64_t size) const;
  [[nodiscard]] std::vector<BlockRun> runs() const;  // ascending, apart
  [[nodiscard]] BlockRun largest() const;            // empty when nothing is free
  // How often a thread found the mutex of a group locked.
  [[nodiscard]] std::uint64_t waits() const;

 private:
  using Holds = std::map<std::uint64_t, std::uint64_t>;  // start → end
  using Lock = std::unique_lock<std::mutex>;
  struct alignas(64) Group {
    [[nodiscard]] Lock enter() const;

    mutable std::mutex mutex;
    mutable std::uint64_t waits = 0;
    BlockGroup blocks;
  };

  [[nodiscard]] std::uint64_t index_of(std::uint64_t block) const {
    return std::min(block >> shift_, kGroups - 1);
  }
  // Calls f(group, part) for the part of the range in each group, ascending. The one takes the
  // mutex of each group in turn; with the other the caller has them.
  template <typename F>
  void for_each_part(BlockRun range, F&& f) const;
  template <typename F>
  void for_each_entered(BlockRun range, F&& f) const;
  // Calls f(group) with its mutex for all groups, ascending.
  template <typename F>
  void for_each(F&& f) const;
  [[nodiscard]] std::vector<Lock> enter(std::uint64_t first, std::uint64_t last) const;
  void widen(std::uint64_t end);
  [[nodiscard]] std::uint64_t first_for(const AllocationHint& hint) const;
  std::optional<BlockRun> take_short(std::uint64_t count, const AllocationHint& hint);
  // With all mutexes:
  std::optional<BlockRun> search(std::uint64_t count, const AllocationHint& h, std::uint64_t first);
  std::optional<BlockRun> take_longest(std::uint64_t count, std::uint64_t alignment,
                                       std::uint64_t first);
  std::optional<BlockRun> take_across(std::uint64_t count, std::uint64_t alignment);
  [[nodiscard]] std::vector<BlockRun> across_borders() const;

  void begin_hold(BlockRun range);
  void end_hold(Holds::iterator hold);
  [[nodiscard]] std::uint64_t held_free_in(BlockRun range) const;

  const unsigned shift_;
  mutable std::vector<Group> groups_;          // kGroups
  std::atomic<std::uint64_t> groups_used_{1};  // the groups from here on have no blocks
  mutable std::mutex holds_mutex_;             // above those of the groups
  Holds holds_;  // cut at the borders, the groups have them too: what is freed in them
};

}  // namespace pmemfs::store
