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

bool within(InodeRun range, std::uint64_t number) {
  return number >= range.start && number - range.start < range.count;
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
  put_locked(number);
}

void InodeNumbers::put_locked(std::uint64_t number) {
  if (within(apart_, number)) {
    withheld_.push_back(number);
    return;
  }
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

void InodeNumbers::withhold(InodeRun range) {
  const std::lock_guard lock(mutex_);
  apart_ = range;
  const std::vector<std::uint64_t> recent = std::move(recent_);
  recent_.clear();
  for (const std::uint64_t number : recent) {
    put_locked(number);
  }
  auto run = runs_.upper_bound(range.start);
  run = run == runs_.begin() ? run : std::prev(run);
  const std::uint64_t range_end = range.start + range.count;
  while (run != runs_.end() && run->first < range_end) {
    const std::uint64_t start = run->first;
    const std::uint64_t end = start + run->second;
    if (end <= range.start) {
      ++run;
      continue;
    }
    run = runs_.erase(run);
    if (start < range.start) {
      runs_.emplace(start, range.start - start);
    }
    if (end > range_end) {
      runs_.emplace(range_end, end - range_end);
    }
    for (std::uint64_t n = std::max(start, range.start); n < std::min(end, range_end); ++n) {
      withheld_.push_back(n);
    }
  }
}

void InodeNumbers::let_go() {
  const std::lock_guard lock(mutex_);
  apart_ = {};
  for (const std::uint64_t number : withheld_) {
    merge_into(runs_, {number, 1});
  }
  withheld_.clear();
}

std::vector<InodeRun> InodeNumbers::runs() const {
  const std::lock_guard lock(mutex_);
  std::map<std::uint64_t, std::uint64_t> all = runs_;
  for (const auto* numbers : {&recent_, &withheld_}) {
    for (const std::uint64_t number : *numbers) {
      merge_into(all, {number, 1});
    }
  }
  std::vector<InodeRun> result;
  result.reserve(all.size());
  for (const auto& [start, count] : all) {
    result.push_back({start, count});
  }
  return result;
}

}  // namespace pmemfs::store
