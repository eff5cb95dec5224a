#include "store/block_group.hpp"

#include <algorithm>
#include <bit>
#include <iterator>
#include <utility>

namespace pmemfs::store {
namespace {

// Runs looked at in a class whose members may or may not fit, before a larger class is cut.
constexpr int kGlances = 8;

std::size_t class_of(std::uint64_t count) {
  return static_cast<std::size_t>(std::bit_width(count)) - 1;
}

// How many blocks of `range` are in the runs.
std::uint64_t blocks_in(const std::map<std::uint64_t, std::uint64_t>& runs, BlockRun range) {
  std::uint64_t n = 0;
  auto run = runs.upper_bound(range.start.value);
  run = run == runs.begin() ? run : std::prev(run);
  for (; run != runs.end() && run->first < range.end().value; ++run) {
    const std::uint64_t from = std::max(run->first, range.start.value);
    const std::uint64_t to = std::min(run->first + run->second, range.end().value);
    n += to > from ? to - from : 0;
  }
  return n;
}

using Runs = std::map<std::uint64_t, std::uint64_t>;  // start → count, apart

// Calls f(part, inside) for the parts of `run` inside and outside of `runs`, ascending.
template <typename F>
void split(const Runs& runs, BlockRun run, F&& f) {
  std::uint64_t at = run.start.value;
  const std::uint64_t end = run.end().value;
  while (at < end) {
    const auto after = runs.upper_bound(at);
    const auto before = after == runs.begin() ? runs.end() : std::prev(after);
    const bool inside = before != runs.end() && at < before->first + before->second;
    const std::uint64_t border = after == runs.end() ? end : after->first;
    const std::uint64_t stop = std::min(end, inside ? before->first + before->second : border);
    f(BlockRun{BlockNo(at), stop - at}, inside);
    at = stop;
  }
}

// Adds a run to others, which it may touch and overlap.
void unite(Runs& runs, BlockRun run) {
  std::uint64_t start = run.start.value;
  std::uint64_t end = run.end().value;
  auto at = runs.upper_bound(start);
  if (at != runs.begin() && std::prev(at)->first + std::prev(at)->second >= start) {
    --at;
  }
  while (at != runs.end() && at->first <= end) {
    start = std::min(start, at->first);
    end = std::max(end, at->first + at->second);
    at = runs.erase(at);
  }
  runs.emplace(start, end - start);
}

// Takes out of `runs` what of `range` is there; returns it, ascending.
std::vector<BlockRun> take_out(Runs& runs, BlockRun range) {
  std::vector<BlockRun> taken;
  split(runs, range, [&](BlockRun part, bool inside) {
    if (inside) {
      taken.push_back(part);
    }
  });
  for (const BlockRun& part : taken) {
    const auto run = std::prev(runs.upper_bound(part.start.value));
    const auto [start, count] = *run;
    runs.erase(run);
    if (start < part.start.value) {
      runs.emplace(start, part.start.value - start);
    }
    if (start + count > part.end().value) {
      runs.emplace(part.end().value, start + count - part.end().value);
    }
  }
  return taken;
}

}  // namespace

BlockRun aligned_part(BlockRun run, std::uint64_t alignment) {
  const std::uint64_t first = (run.start.value + alignment - 1) / alignment * alignment;
  if (first >= run.end().value) {
    return {};
  }
  return {BlockNo(first), run.end().value - first};
}

void BlockGroup::insert_run(std::uint64_t start, std::uint64_t count) {
  by_start_.emplace_hint(by_start_.end(), start, count);
  auto& same_size = by_size_[class_of(count)];
  same_size.emplace_hint(same_size.end(), start);
}

void BlockGroup::erase_run(ByStart::iterator run) {
  by_size_[class_of(run->second)].erase(run->first);
  by_start_.erase(run);
}

// Takes `piece` out of the free run that holds it.
void BlockGroup::carve(ByStart::iterator run, BlockRun piece) {
  const std::uint64_t start = run->first;
  const std::uint64_t end = start + run->second;
  erase_run(run);
  if (piece.start.value > start) {
    insert_run(start, piece.start.value - start);
  }
  if (piece.end().value < end) {
    insert_run(piece.end().value, end - piece.end().value);
  }
  free_ -= piece.count;
}

bool BlockGroup::add_apart(BlockRun run) {
  auto next = by_start_.lower_bound(run.start.value);
  std::uint64_t start = run.start.value;
  std::uint64_t end = run.end().value;
  if (next != by_start_.end() && next->first < end) {
    return false;
  }
  const auto prev = next == by_start_.begin() ? by_start_.end() : std::prev(next);
  if (prev != by_start_.end() && prev->first + prev->second > start) {
    return false;
  }
  if (next != by_start_.end() && next->first == end) {
    end += next->second;
    erase_run(next);
  }
  if (prev != by_start_.end() && prev->first + prev->second == start) {
    start = prev->first;
    erase_run(prev);
  }
  insert_run(start, end - start);
  free_ += run.count;
  return true;
}

// Adds a run to those of a hold. False when part of it is there.
bool BlockGroup::merge_into(ByStart& runs, BlockRun run) {
  const auto next = runs.lower_bound(run.start.value);
  const auto prev = next == runs.begin() ? runs.end() : std::prev(next);
  const bool before = prev != runs.end() && prev->first + prev->second >= run.start.value;
  if ((next != runs.end() && next->first < run.end().value) ||
      (before && prev->first + prev->second > run.start.value)) {
    return false;
  }
  const auto merged = before ? prev : runs.emplace_hint(next, run.start.value, 0);
  merged->second += run.count;
  if (next != runs.end() && next->first == run.end().value) {
    merged->second += next->second;
    runs.erase(next);
  }
  return true;
}

// What lies in a held range is set aside, the rest becomes free.
bool BlockGroup::add_around_holds(BlockRun run) {
  bool all = true;
  std::uint64_t at = run.start.value;
  while (at < run.end().value) {
    auto hold = holds_.upper_bound(at);
    const std::uint64_t next = hold == holds_.end() ? run.end().value : hold->first;
    const bool inside = hold != holds_.begin() && at < std::prev(hold)->second.end;
    const std::uint64_t stop =
        std::min(run.end().value, inside ? std::prev(hold)->second.end : next);
    const BlockRun piece{BlockNo(at), stop - at};
    all = (inside ? merge_into(std::prev(hold)->second.free, piece) : add_apart(piece)) && all;
    at = stop;
  }
  return all;
}

// What is bad is set aside, the rest becomes free.
bool BlockGroup::add_around_bad(BlockRun run) {
  bool all = true;
  split(bad_, run, [&](BlockRun part, bool bad) {
    if (bad) {
      all = merge_into(bad_free_, part) && all;
    } else {
      all = (holds_.empty() ? add_apart(part) : add_around_holds(part)) && all;
    }
  });
  return all;
}

bool BlockGroup::add(BlockRun run) {
  if (distrusted_.empty() && bad_.empty()) {
    return holds_.empty() ? add_apart(run) : add_around_holds(run);
  }
  bool all = true;
  split(distrusted_, run,
        [&](BlockRun part, bool distrusted) { all = (distrusted || add_around_bad(part)) && all; });
  return all || !distrusted_.empty();
}

void BlockGroup::distrust(BlockRun run) {
  unite(distrusted_, run);
}

void BlockGroup::set_bad(BlockRun run) {
  unite(bad_, run);
  take_free(run, bad_free_);
  for (auto& [start, hold] : holds_) {
    if (start < run.end().value && hold.end > run.start.value) {
      for (const BlockRun& part : take_out(hold.free, run)) {
        merge_into(bad_free_, part);
      }
    }
  }
}

void BlockGroup::set_good(BlockRun run) {
  take_out(bad_, run);
  for (const BlockRun& part : take_out(bad_free_, run)) {
    add(part);
  }
}

void BlockGroup::append_bad_free(std::vector<BlockRun>& to) const {
  for (const auto& [start, count] : bad_free_) {
    to.push_back({BlockNo(start), count});
  }
}

std::uint64_t BlockGroup::bad_free_in(BlockRun range) const {
  return blocks_in(bad_free_, range);
}

// The free run that holds `start`, else the first after it.
BlockGroup::ByStart::iterator BlockGroup::first_overlap(std::uint64_t start) {
  auto run = by_start_.upper_bound(start);
  if (run != by_start_.begin() && std::prev(run)->first + std::prev(run)->second > start) {
    --run;
  }
  return run;
}

// Free blocks of the range move to `to`.
void BlockGroup::take_free(BlockRun range, ByStart& to) {
  const std::uint64_t end = range.end().value;
  for (auto run = first_overlap(range.start.value); run != by_start_.end() && run->first < end;
       run = first_overlap(range.start.value)) {
    const std::uint64_t from = std::max(run->first, range.start.value);
    const BlockRun piece{BlockNo(from), std::min(run->first + run->second, end) - from};
    carve(run, piece);
    merge_into(to, piece);
  }
}

void BlockGroup::begin_hold(BlockRun range) {
  Hold& hold = holds_[range.start.value];
  hold.end = range.end().value;
  take_free(range, hold.free);
}

void BlockGroup::end_hold(BlockNo start) {
  const auto hold = holds_.extract(start.value);
  for (const auto& [at, count] : hold.mapped().free) {
    add_apart({BlockNo(at), count});
  }
}

void BlockGroup::drop_hold(BlockNo start) {
  holds_.erase(start.value);
}

void BlockGroup::cut_off(BlockNo from) {
  const BlockRun tail{from, ~std::uint64_t{0} - from.value};
  take_out(bad_, tail);
  take_out(bad_free_, tail);
  holds_.erase(holds_.lower_bound(from.value), holds_.end());
  if (holds_.empty() || holds_.rbegin()->second.end <= from.value) {
    return;
  }
  Hold& last = holds_.rbegin()->second;  // the part of it before the cut stays held
  last.end = from.value;
  last.free.erase(last.free.lower_bound(last.end), last.free.end());
  if (!last.free.empty()) {
    auto& [start, count] = *last.free.rbegin();
    count = std::min(count, last.end - start);
  }
}

// The free run that begins at hint.near exactly.
std::optional<BlockRun> BlockGroup::find_near(std::uint64_t count, const AllocationHint& h) {
  const std::uint64_t near = h.near.value;
  if (near == 0 || near % h.alignment != 0) {
    return std::nullopt;
  }
  auto run = by_start_.upper_bound(near);
  if (run == by_start_.begin()) {
    return std::nullopt;
  }
  --run;
  const std::uint64_t end = run->first + run->second;
  if (near >= end || (h.whole && end - near < count)) {
    return std::nullopt;
  }
  const BlockRun piece{h.near, std::min(count, end - near)};
  carve(run, piece);
  return piece;
}

std::optional<BlockRun> BlockGroup::take_fit(std::uint64_t count, std::uint64_t alignment,
                                             bool thorough) {
  for (std::size_t size = class_of(count); size < kClasses; ++size) {
    int glances = thorough ? -1 : kGlances;
    for (const std::uint64_t start : by_size_[size]) {
      const auto run = by_start_.find(start);
      const BlockRun part = aligned_part({BlockNo(start), run->second}, alignment);
      if (part.count >= count) {
        const BlockRun piece{part.start, count};
        carve(run, piece);
        return piece;
      }
      if (--glances == 0) {
        break;
      }
    }
  }
  return std::nullopt;
}

std::optional<BlockRun> BlockGroup::take_short(std::uint64_t count, const AllocationHint& hint) {
  constexpr std::size_t kEnd = 9;  // the class of runs of 512 blocks, a frame
  const auto near = first_overlap(hint.near.value);
  if (near != by_start_.end() && class_of(near->second) < kEnd) {
    if (auto piece = find_near(count, hint)) {
      return piece;
    }
  }
  for (std::size_t size = class_of(count); size < kEnd; ++size) {
    for (const std::uint64_t start : by_size_[size]) {
      if (const auto run = by_start_.find(start); run->second >= count) {
        const BlockRun piece{BlockNo(start), count};
        carve(run, piece);
        return piece;
      }
    }
  }
  for (std::size_t size = kEnd; size-- > 0;) {
    if (!by_size_[size].empty()) {
      const auto run = by_start_.find(*by_size_[size].begin());
      const BlockRun piece{BlockNo(run->first), std::min(count, run->second)};
      carve(run, piece);
      return piece;
    }
  }
  return std::nullopt;
}

BlockRun BlockGroup::longest(std::uint64_t alignment) const {
  for (std::size_t size = kClasses; size-- > 0;) {
    for (const std::uint64_t start : by_size_[size]) {
      const BlockRun part = aligned_part({BlockNo(start), by_start_.at(start)}, alignment);
      if (!part.empty()) {
        return part;
      }
    }
  }
  return {};
}

std::optional<BlockRun> BlockGroup::take(std::uint64_t count, const AllocationHint& hint) {
  if (auto piece = find_near(count, hint)) {
    return piece;
  }
  return take_fit(count, hint.alignment, false);
}

std::optional<BlockRun> BlockGroup::take_longest(std::uint64_t count, std::uint64_t alignment) {
  BlockRun piece = longest(alignment);
  if (piece.empty()) {
    return std::nullopt;
  }
  piece.count = std::min(count, piece.count);
  carve(first_overlap(piece.start.value), piece);
  return piece;
}

void BlockGroup::claim(BlockRun run) {
  carve(first_overlap(run.start.value), run);
}

std::uint64_t BlockGroup::held_free_in(BlockRun range) const {
  std::uint64_t n = 0;
  for (const auto& [start, hold] : holds_) {
    if (start < range.end().value && hold.end > range.start.value) {
      n += blocks_in(hold.free, range);
    }
  }
  return n;
}

std::uint64_t BlockGroup::free_in(BlockRun range) const {
  return blocks_in(by_start_, range) + held_free_in(range) + bad_free_in(range);
}

std::uint64_t BlockGroup::free_blocks() const {
  return free_;
}

std::uint64_t BlockGroup::aligned_pieces(std::uint64_t size) const {
  std::uint64_t n = 0;
  for (std::size_t i = class_of(size); i < kClasses; ++i) {
    for (const std::uint64_t start : by_size_[i]) {
      n += aligned_part({BlockNo(start), by_start_.at(start)}, size).count / size;
    }
  }
  return n;
}

void BlockGroup::append_runs(std::vector<BlockRun>& to) const {
  for (const auto& [start, count] : by_start_) {
    to.push_back({BlockNo(start), count});
  }
}

BlockGroup::Edges BlockGroup::edges() const {
  if (by_start_.empty()) {
    return {};
  }
  const auto run = [](const auto& entry) {
    return BlockRun{BlockNo(entry.first), entry.second};
  };
  return {run(*by_start_.begin()), run(*by_start_.rbegin())};
}

BlockRun BlockGroup::largest() const {
  BlockRun best;
  for (std::size_t size = kClasses; size-- > 0 && best.empty();) {
    for (const std::uint64_t start : by_size_[size]) {
      const std::uint64_t count = by_start_.at(start);
      if (count > best.count) {
        best = {BlockNo(start), count};
      }
    }
  }
  return best;
}

}  // namespace pmemfs::store
