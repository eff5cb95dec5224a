#include "core/exports.hpp"

#include <algorithm>

namespace pmemfs::core {

// Joined where they touch.
std::vector<Range> Exports::File::parts(Range range) const {
  std::vector<Range> parts;
  const std::uint64_t first = range.begin - std::min(range.begin, longest);
  for (auto at = ends.lower_bound(first); at != ends.end() && at->first < range.end; ++at) {
    const Range part{std::max(at->first, range.begin), std::min(at->second, range.end)};
    if (part.begin >= part.end) {
      continue;
    }
    if (parts.empty() || parts.back().end < part.begin) {
      parts.push_back(part);
    } else {
      parts.back().end = std::max(parts.back().end, part.end);
    }
  }
  return parts;
}

void Exports::add(InodeNo ino, Range range, std::uint64_t size) {
  const std::lock_guard lock(mutex_);
  const auto [found, first] = files_.try_emplace(ino);
  File& file = found->second;
  if (first) {
    file.filled = size;
  }
  file.longest = std::max(file.longest, range.end - range.begin);
  file.ends[range.begin] = range.end;
  file.mapped.insert(range.begin);
}

void Exports::remove(InodeNo ino, Range range) {
  const std::lock_guard lock(mutex_);
  const auto found = files_.find(ino);
  if (found == files_.end()) {
    return;
  }
  File& file = found->second;
  if (const auto one = file.mapped.find(range.begin); one != file.mapped.end()) {
    file.mapped.erase(one);
  }
  if (!file.mapped.contains(range.begin)) {
    file.ends.erase(range.begin);
  }
  if (file.mapped.empty()) {
    files_.erase(found);
    waiting_.insert(ino);
  }
}

bool Exports::any(InodeNo ino) const {
  const std::lock_guard lock(mutex_);
  return files_.contains(ino);
}

std::uint64_t Exports::bytes() const {
  const std::lock_guard lock(mutex_);
  std::uint64_t sum = 0;
  for (const auto& [ino, file] : files_) {
    for (const auto& [begin, end] : file.ends) {
      sum += end - begin;
    }
  }
  return sum;
}

std::vector<Range> Exports::mapped(InodeNo ino, Range range) const {
  const std::lock_guard lock(mutex_);
  const auto found = files_.find(ino);
  return found == files_.end() ? std::vector<Range>() : found->second.parts(range);
}

std::vector<Range> Exports::unfilled(InodeNo ino, std::uint64_t to) const {
  const std::lock_guard lock(mutex_);
  const auto found = files_.find(ino);
  if (found == files_.end() || to <= found->second.filled) {
    return {};
  }
  return found->second.parts({found->second.filled, to});
}

void Exports::grown(InodeNo ino, std::uint64_t size) {
  const std::lock_guard lock(mutex_);
  if (const auto found = files_.find(ino); found != files_.end()) {
    found->second.filled = std::max(found->second.filled, size);
  }
}

void Exports::resized(InodeNo ino, std::uint64_t size) {
  const std::lock_guard lock(mutex_);
  if (const auto found = files_.find(ino); found != files_.end()) {
    found->second.filled = size;
  }
}

void Exports::begin_cut(InodeNo ino, std::uint64_t size) {
  const std::lock_guard lock(mutex_);
  cut_.emplace(ino, size);
}

void Exports::end_cut(InodeNo ino, std::uint64_t size) {
  const std::lock_guard lock(mutex_);
  cut_.erase(cut_.find({ino, size}));
}

bool Exports::is_cut(InodeNo ino) const {
  return is_cut(ino, UINT64_MAX);
}

bool Exports::is_cut(InodeNo ino, std::uint64_t off) const {
  const std::lock_guard lock(mutex_);
  const auto least = cut_.lower_bound({ino, 0});
  return least != cut_.end() && least->first == ino && least->second <= off;
}

void Exports::wait(InodeNo ino) {
  const std::lock_guard lock(mutex_);
  waiting_.insert(ino);
}

void Exports::settled(InodeNo ino) {
  const std::lock_guard lock(mutex_);
  waiting_.erase(ino);
}

std::vector<InodeNo> Exports::waiting() const {
  const std::lock_guard lock(mutex_);
  return {waiting_.begin(), waiting_.end()};
}

bool Exports::empty() const {
  const std::lock_guard lock(mutex_);
  return files_.empty() && waiting_.empty();
}

}  // namespace pmemfs::core
