#include "store/inode_numbers.hpp"

#include <algorithm>
#include <iterator>

namespace pmemfs::store {
namespace {

// Merges with the neighbours. Numbers are never free twice: a slot has one owner.
void merge_into(std::map<std::uint64_t, std::uint64_t>& runs, InodeRun run) {
  auto next = runs.lower_bound(run.start);
  if (next != runs.end() && next->first == run.start + run.count) {
    run.count += next->second;
    next = runs.erase(next);
  }
  if (next != runs.begin()) {
    const auto prev = std::prev(next);
    if (prev->first + prev->second == run.start) {
      prev->second += run.count;
      return;
    }
  }
  runs.emplace_hint(next, run.start, run.count);
}

}  // namespace

void InodeNumbers::add(InodeRun run) {
  const std::lock_guard lock(mutex_);
  merge_into(runs_, run);
}

// Moves the older half of the recent numbers to the runs.
void InodeNumbers::spill() {
  const auto half = recent_.begin() + kRecent / 2;
  for (auto it = recent_.begin(); it != half; ++it) {
    merge_into(runs_, {*it, 1});
  }
  recent_.erase(recent_.begin(), half);
}

void InodeNumbers::put(std::uint64_t number) {
  const std::lock_guard lock(mutex_);
  if (recent_.size() >= kRecent) {
    spill();
  }
  recent_.push_back(number);
}

std::optional<std::uint64_t> InodeNumbers::take() {
  const std::lock_guard lock(mutex_);
  if (!recent_.empty()) {
    const std::uint64_t number = recent_.back();
    recent_.pop_back();
    return number;
  }
  if (runs_.empty()) {
    return std::nullopt;
  }
  // Several at once, so that the map is touched rarely; the lowest ends up at the back.
  const auto first = runs_.begin();
  const std::uint64_t start = first->first;
  const std::uint64_t n = std::min<std::uint64_t>(first->second, kRecent / 8);
  const std::uint64_t left = first->second - n;
  runs_.erase(first);
  if (left > 0) {
    runs_.emplace_hint(runs_.begin(), start + n, left);
  }
  for (std::uint64_t i = n; i-- > 1;) {
    recent_.push_back(start + i);
  }
  return start;
}

std::vector<InodeRun> InodeNumbers::runs() const {
  const std::lock_guard lock(mutex_);
  std::map<std::uint64_t, std::uint64_t> all = runs_;
  for (const std::uint64_t number : recent_) {
    merge_into(all, {number, 1});
  }
  std::vector<InodeRun> result;
  result.reserve(all.size());
  for (const auto& [start, count] : all) {
    result.push_back({start, count});
  }
  return result;
}

}  // namespace pmemfs::store
