// The free blocks of one part of the region; see Allocator, which has many of these.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "pmemfs/types.hpp"
#include "store/change.hpp"

namespace pmemfs::store {

// The part of a run that begins aligned; empty when there is none.
[[nodiscard]] BlockRun aligned_part(BlockRun run, std::uint64_t alignment);

// Runs of free blocks by start and by size. Memory follows the number of runs. Not thread-safe.
// What it is told of lies in its part of the region: Allocator has cut it at the borders, holds
// too.
class BlockGroup {
 public:
  // Makes a run free. False when part of it is free already.
  bool add(BlockRun run);

  // The run at hint.near when that is free, else as take_fit(), not thorough.
  std::optional<BlockRun> take(std::uint64_t count, const AllocationHint& hint);
  // A piece of exactly `count` blocks from the smallest fitting size, lowest address first. Not
  // thorough: from a larger size when the first few of a size do not fit.
  std::optional<BlockRun> take_fit(std::uint64_t count, std::uint64_t alignment, bool thorough);
  // The same with hint.spare_frames: of runs shorter than a frame of 2 MiB, or as much as the
  // longest class of those gives. The alignment is 1.
  std::optional<BlockRun> take_short(std::uint64_t count, const AllocationHint& hint);
  // Up to `count` blocks of longest().
  std::optional<BlockRun> take_longest(std::uint64_t count, std::uint64_t alignment);
  // These blocks, which are free in one run.
  void claim(BlockRun run);
  // The aligned part of a run of the largest size that has an aligned one; empty: none.
  [[nodiscard]] BlockRun longest(std::uint64_t alignment) const;

  void distrust(BlockRun run);

  // Blocks of the run go to nobody from now on, free ones included.
  void set_bad(BlockRun run);
  // What is free of the run is free for all again.
  void set_good(BlockRun run);
  // Free blocks that nobody gets because they are bad; ascending.
  void append_bad_free(std::vector<BlockRun>& to) const;
  [[nodiscard]] std::uint64_t bad_free_in(BlockRun range) const;

  // A range that overlaps no held one is held; it is named by its start from then on.
  void begin_hold(BlockRun range);
  // Gives the free blocks of the hold back to all.
  void end_hold(BlockNo start);
  // The hold ends and its free blocks are the caller's.
  void drop_hold(BlockNo start);
  // Free and held blocks from `from` on cease to be; all of them are free and held.
  void cut_off(BlockNo from);
  [[nodiscard]] std::uint64_t held_free_in(BlockRun range) const;

  struct Edges {
    BlockRun first;
    BlockRun last;
  };
  // The lowest and the highest run, which may be one; empty when nothing is free.
  [[nodiscard]] Edges edges() const;
  [[nodiscard]] BlockRun largest() const;  // empty when nothing is free
  [[nodiscard]] std::uint64_t free_blocks() const;
  [[nodiscard]] std::uint64_t free_in(BlockRun range) const;
  [[nodiscard]] std::uint64_t aligned_pieces(std::uint64_t size) const;
  void append_runs(std::vector<BlockRun>& to) const;  // ascending

 private:
  static constexpr std::size_t kClasses = 40;  // by the highest bit of the count
  using ByStart = std::map<std::uint64_t, std::uint64_t>;
  struct Hold {
    std::uint64_t end = 0;
    ByStart free;
  };

  void insert_run(std::uint64_t start, std::uint64_t count);
  void erase_run(ByStart::iterator run);
  void carve(ByStart::iterator run, BlockRun piece);
  static bool merge_into(ByStart& runs, BlockRun run);
  [[nodiscard]] ByStart::iterator first_overlap(std::uint64_t start);
  bool add_apart(BlockRun run);
  bool add_around_holds(BlockRun run);
  bool add_around_bad(BlockRun run);
  void take_free(BlockRun range, ByStart& to);
  [[nodiscard]] std::optional<BlockRun> find_near(std::uint64_t count, const AllocationHint& h);

  ByStart by_start_;  // start → count
  std::array<std::set<std::uint64_t>, kClasses> by_size_;
  ByStart distrusted_;
  ByStart bad_;
  ByStart bad_free_;                     // of these, what is free
  std::map<std::uint64_t, Hold> holds_;  // by the start of the range
  std::uint64_t free_ = 0;
};

}  // namespace pmemfs::store
