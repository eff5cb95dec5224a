#include "store/allocator.hpp"

#include <bit>
#include <iterator>

#include "base/log.hpp"

namespace pmemfs::store {
namespace {

// Of the region as it is at first, so that it can double.
constexpr std::uint64_t kFirstGroups = Allocator::kGroups / 2;

std::uint64_t thread_number() {
  static std::atomic<std::uint64_t> next{0};
  thread_local const std::uint64_t kMine = next.fetch_add(1, std::memory_order_relaxed);
  return kMine;
}

}  // namespace

Allocator::Allocator(unsigned shift) : shift_(shift), groups_(kGroups) {}

unsigned Allocator::shift_for(std::uint64_t blocks) {
  unsigned shift = kMinShift;
  while (blocks > kFirstGroups << shift) {
    ++shift;
  }
  return shift;
}

Allocator::Lock Allocator::Group::enter() const {
  Lock lock(mutex, std::try_to_lock);
  if (!lock.owns_lock()) {
    lock.lock();
    ++waits;
  }
  return lock;
}

std::vector<Allocator::Lock> Allocator::enter(std::uint64_t first, std::uint64_t last) const {
  std::vector<Lock> locks;
  locks.reserve(last - first + 1);
  for (std::uint64_t i = first; i <= last; ++i) {
    locks.push_back(groups_[i].enter());
  }
  return locks;
}

template <typename F>
void Allocator::for_each_entered(BlockRun range, F&& f) const {
  std::uint64_t at = range.start.value;
  while (at < range.end().value) {
    const std::uint64_t index = index_of(at);
    const std::uint64_t border = index + 1 < kGroups ? (index + 1) << shift_ : range.end().value;
    const std::uint64_t stop = std::min(range.end().value, border);
    f(groups_[index].blocks, BlockRun{BlockNo(at), stop - at});
    at = stop;
  }
}

template <typename F>
void Allocator::for_each_part(BlockRun range, F&& f) const {
  for_each_entered(range, [&](BlockGroup& blocks, BlockRun part) {
    const Lock lock = groups_[index_of(part.start.value)].enter();
    f(blocks, part);
  });
}

template <typename F>
void Allocator::for_each(F&& f) const {
  for (const Group& group : groups_) {
    const Lock lock = group.enter();
    f(group.blocks);
  }
}

void Allocator::widen(std::uint64_t end) {
  const std::uint64_t used = index_of(end - 1) + 1;
  std::uint64_t seen = groups_used_.load();
  while (seen < used && !groups_used_.compare_exchange_weak(seen, used)) {
  }
}

bool Allocator::add(BlockRun run) {
  if (run.empty()) {
    return true;
  }
  bool sound = true;
  const std::uint64_t first = index_of(run.start.value);
  const std::uint64_t last = index_of(run.end().value - 1);
  if (first == last) {
    const Lock lock = groups_[first].enter();
    sound = groups_[first].blocks.add(run);
  } else {
    const std::vector<Lock> locks = enter(first, last);
    for_each_entered(
        run, [&](BlockGroup& group, BlockRun part) { sound = sound && group.free_in(part) == 0; });
    for_each_entered(run,
                     [&](BlockGroup& group, BlockRun part) { sound = sound && group.add(part); });
  }
  widen(run.end().value);
  if (!sound) {
    base::log::error("blocks {} to {} were freed twice", run.start.value, run.end().value - 1);
  }
  return sound;
}

void Allocator::distrust(BlockRun run) {
  for_each_part(run, [](BlockGroup& group, BlockRun part) { group.distrust(part); });
}

void Allocator::set_bad(BlockRun run) {
  for_each_part(run, [](BlockGroup& group, BlockRun part) { group.set_bad(part); });
}

void Allocator::set_good(BlockRun run) {
  for_each_part(run, [](BlockGroup& group, BlockRun part) { group.set_good(part); });
}

std::vector<BlockRun> Allocator::bad_free() const {
  std::vector<BlockRun> all;
  for_each([&](const BlockGroup& group) { group.append_bad_free(all); });
  return all;
}

// --- Taking --------------------------------------------------------------------------------------

// Threads begin in the lower half of the groups: what is small gathers there, and the upper half
// stays whole for what is large.
std::uint64_t Allocator::first_for(const AllocationHint& hint) const {
  const std::uint64_t used = groups_used_.load(std::memory_order_relaxed);
  if (hint.near && index_of(hint.near.value) < used) {
    return index_of(hint.near.value);
  }
  return thread_number() % ((used + 1) / 2);
}

std::optional<BlockRun> Allocator::take_short(std::uint64_t count, const AllocationHint& hint) {
  const std::uint64_t first = first_for(hint);
  const std::uint64_t used = groups_used_.load();
  for (std::uint64_t i = 0; i < used; ++i) {
    Group& group = groups_[(first + i) % used];
    const Lock lock = group.enter();
    if (auto piece = group.blocks.take_short(count, hint)) {
      return piece;
    }
  }
  return std::nullopt;
}

std::optional<BlockRun> Allocator::take(std::uint64_t count, const AllocationHint& hint) {
  if (hint.spare_frames) {
    return take_short(count, hint);
  }
  const std::uint64_t first = first_for(hint);
  const std::uint64_t used = groups_used_.load();
  for (std::uint64_t i = 0; i < used; ++i) {
    Group& group = groups_[(first + i) % used];
    const Lock lock = group.enter();
    if (auto piece = i == 0 ? group.blocks.take(count, hint)
                            : group.blocks.take_fit(count, hint.alignment, false)) {
      return piece;
    }
  }
  // One after the other is not enough here: blocks may be freed in a group that was looked at while
  // those of the next are taken, and there is something free all the time.
  const std::vector<Lock> locks = enter(0, kGroups - 1);
  return search(count, hint, first);
}

std::optional<BlockRun> Allocator::search(std::uint64_t count, const AllocationHint& h,
                                          std::uint64_t first) {
  if (!h.whole) {
    return take_longest(count, h.alignment, first);
  }
  for (std::uint64_t i = 0; i < kGroups; ++i) {
    BlockGroup& group = groups_[(first + i) % kGroups].blocks;
    if (auto piece = group.take_fit(count, h.alignment, true)) {
      return piece;
    }
  }
  return take_across(count, h.alignment);
}

std::optional<BlockRun> Allocator::take_longest(std::uint64_t count, std::uint64_t alignment,
                                                std::uint64_t first) {
  BlockGroup* best = nullptr;
  std::uint64_t most = 0;
  for (std::uint64_t i = 0; i < kGroups && most < count; ++i) {
    BlockGroup& group = groups_[(first + i) % kGroups].blocks;
    if (const std::uint64_t n = group.longest(alignment).count; n > most) {
      best = &group;
      most = n;
    }
  }
  return best == nullptr ? std::nullopt : best->take_longest(count, alignment);
}

std::optional<BlockRun> Allocator::take_across(std::uint64_t count, std::uint64_t alignment) {
  if (count <= alignment && (1ULL << shift_) % alignment == 0) {
    return std::nullopt;  // such pieces lie inside a group
  }
  for (const BlockRun& run : across_borders()) {
    const BlockRun part = aligned_part(run, alignment);
    if (part.count >= count) {
      const BlockRun piece{part.start, count};
      for_each_entered(piece, [](BlockGroup& group, BlockRun in) { group.claim(in); });
      return piece;
    }
  }
  return std::nullopt;
}

// The free runs that lie in more than one group.
std::vector<BlockRun> Allocator::across_borders() const {
  std::vector<BlockRun> all;
  BlockRun open;  // ends where the group begins
  bool across = false;
  for (std::uint64_t i = 0; i < kGroups; ++i) {
    const BlockGroup::Edges edges = groups_[i].blocks.edges();
    const bool joins = !open.empty() && edges.first.start == open.end() && !edges.first.empty();
    if (joins) {
      open.count += edges.first.count;
      across = true;
    }
    if (joins && edges.first == edges.last && open.end().value == (i + 1) << shift_) {
      continue;
    }
    if (across) {
      all.push_back(open);
    }
    open = edges.last.end().value == (i + 1) << shift_ ? edges.last : BlockRun{};
    across = false;
  }
  if (across) {
    all.push_back(open);
  }
  return all;
}

// --- Holds ---------------------------------------------------------------------------------------

// A hold is in holds_ as a whole and, cut at the borders, in the groups. What it has of free blocks
// only grows while it lasts, so that what was found under holds_mutex_, group by group, stays true.

void Allocator::begin_hold(BlockRun range) {
  holds_.emplace(range.start.value, range.end().value);
  for_each_part(range, [](BlockGroup& group, BlockRun part) { group.begin_hold(part); });
}

bool Allocator::hold(BlockRun range) {
  const std::lock_guard lock(holds_mutex_);
  const auto after = holds_.lower_bound(range.end().value);
  if (after != holds_.begin() && std::prev(after)->second > range.start.value) {
    return false;
  }
  begin_hold(range);
  return true;
}

std::vector<BlockRun> Allocator::hold_rest(BlockRun range) {
  const std::lock_guard lock(holds_mutex_);
  std::vector<BlockRun> gaps;
  std::uint64_t at = range.start.value;
  const auto add_gap = [&](std::uint64_t end) {
    if (end > at) {
      gaps.push_back({BlockNo(at), end - at});
    }
  };
  for (const auto& [start, end] : holds_) {
    if (start >= range.end().value) {
      break;
    }
    add_gap(start);
    at = std::max(at, end);
  }
  add_gap(range.end().value);
  for (const BlockRun& gap : gaps) {
    begin_hold(gap);
  }
  return gaps;
}

bool Allocator::is_held(BlockRun range) const {
  const std::lock_guard lock(holds_mutex_);
  const auto hold = holds_.find(range.start.value);
  return hold != holds_.end() && hold->second == range.end().value;
}

void Allocator::end_hold(Holds::iterator hold) {
  const BlockRun range{BlockNo(hold->first), hold->second - hold->first};
  holds_.erase(hold);
  for_each_part(range, [](BlockGroup& group, BlockRun part) { group.end_hold(part.start); });
}

void Allocator::let_go(BlockRun range) {
  const std::lock_guard lock(holds_mutex_);
  if (const auto hold = holds_.find(range.start.value); hold != holds_.end()) {
    end_hold(hold);
  }
}

void Allocator::let_go_all() {
  const std::lock_guard lock(holds_mutex_);
  while (!holds_.empty()) {
    end_hold(holds_.begin());
  }
}

bool Allocator::take_held(BlockRun range) {
  const std::lock_guard lock(holds_mutex_);
  const auto hold = holds_.find(range.start.value);
  if (hold == holds_.end() || hold->second != range.end().value ||
      held_free_in(range) != range.count) {
    return false;
  }
  holds_.erase(hold);
  for_each_part(range, [](BlockGroup& group, BlockRun part) { group.drop_hold(part.start); });
  return true;
}

bool Allocator::cut_off(BlockRun range) {
  const std::lock_guard lock(holds_mutex_);
  std::uint64_t bad = 0;
  for_each_part(range, [&](BlockGroup& group, BlockRun part) { bad += group.bad_free_in(part); });
  if (held_free_in(range) + bad != range.count) {
    return false;
  }
  holds_.erase(holds_.lower_bound(range.start.value), holds_.end());
  if (!holds_.empty()) {  // the part of it before the cut stays held
    auto& end = holds_.rbegin()->second;
    end = std::min(end, range.start.value);
  }
  for_each_part(range, [](BlockGroup& group, BlockRun part) { group.cut_off(part.start); });
  groups_used_.store(index_of(std::max<std::uint64_t>(range.start.value, 1) - 1) + 1);
  return true;
}

std::uint64_t Allocator::held_free_in(BlockRun range) const {
  std::uint64_t n = 0;
  for_each_part(range, [&](BlockGroup& group, BlockRun part) { n += group.held_free_in(part); });
  return n;
}

// --- Looking -------------------------------------------------------------------------------------

std::uint64_t Allocator::free_blocks() const {
  std::uint64_t n = 0;
  for_each([&](const BlockGroup& group) { n += group.free_blocks(); });
  return n;
}

std::uint64_t Allocator::free_in(BlockRun range) const {
  std::uint64_t n = 0;
  for_each_part(range, [&](BlockGroup& group, BlockRun part) { n += group.free_in(part); });
  return n;
}

std::uint64_t Allocator::aligned_pieces(std::uint64_t size) const {
  std::uint64_t n = 0;
  for_each([&](const BlockGroup& group) { n += group.aligned_pieces(size); });
  return n;
}

std::vector<BlockRun> Allocator::runs() const {
  std::vector<BlockRun> all;
  for_each([&](const BlockGroup& group) {
    const std::size_t border = all.size();
    group.append_runs(all);
    if (border > 0 && border < all.size() && all[border - 1].end() == all[border].start) {
      all[border - 1].count += all[border].count;
      all.erase(all.begin() + static_cast<std::ptrdiff_t>(border));
    }
  });
  return all;
}

BlockRun Allocator::largest() const {
  const std::vector<Lock> locks = enter(0, kGroups - 1);
  BlockRun best;
  const auto look_at = [&](BlockRun run) {
    best = run.count > best.count ? run : best;
  };
  for (const Group& group : groups_) {
    look_at(group.blocks.largest());
  }
  for (const BlockRun& run : across_borders()) {
    look_at(run);
  }
  return best;
}

std::uint64_t Allocator::waits() const {
  std::uint64_t n = 0;
  for (const Group& group : groups_) {
    const std::lock_guard lock(group.mutex);
    n += group.waits;
  }
  return n;
}

}  // namespace pmemfs::store
