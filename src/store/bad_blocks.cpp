#include "store/bad_blocks.hpp"

#include <algorithm>
#include <iterator>

#include "base/log.hpp"
#include "base/media_faults.hpp"

namespace pmemfs::store {
namespace {

constexpr std::uint64_t kBlock = format::kBlockSize;

ByteOff offset_of(BlockRun run) {
  return format::byte_off(run.start);
}

}  // namespace

void count_listed_as_lost(Region& region, const format::Superblock& s) {
  for (std::uint32_t i = 0; i < s.bad_runs.load(); ++i) {
    region.count_as_lost(format::byte_off(BlockNo(s.bad[i].start.load())),
                         s.bad[i].count.load() * kBlock);
  }
  for (const std::uint64_t block : {std::uint64_t{0}, format::kSuperblockCopyBlock}) {
    if (region.readable(format::byte_off(BlockNo(block)), kBlock) < kBlock) {
      region.count_as_lost(format::byte_off(BlockNo(block)), kBlock);
    }
  }
}

void BadBlocks::load(const format::Superblock& s) {
  const std::lock_guard lock(mutex_);
  for (std::uint32_t i = 0; i < s.bad_runs.load(); ++i) {
    list({BlockNo(s.bad[i].start.load()), s.bad[i].count.load()});
  }
}

bool BadBlocks::contains(BlockRun run) const {
  const std::lock_guard lock(mutex_);
  const auto after = bad_.lower_bound(run.end().value);
  return after != bad_.begin() &&
         std::prev(after)->first + std::prev(after)->second > run.start.value;
}

bool BadBlocks::list(BlockRun run) {
  std::uint64_t start = run.start.value;
  std::uint64_t end = run.end().value;
  auto at = bad_.upper_bound(start);
  if (at != bad_.begin() && std::prev(at)->first + std::prev(at)->second >= start) {
    --at;
  }
  if (at != bad_.end() && at->first <= start && at->first + at->second >= end) {
    return false;
  }
  while (at != bad_.end() && at->first <= end) {
    start = std::min(start, at->first);
    end = std::max(end, at->first + at->second);
    at = bad_.erase(at);
  }
  bad_.emplace(start, end - start);
  region_.count_as_lost(offset_of(run), run.count * kBlock);
  blocks_.set_bad(run);
  return true;
}

// What lies beyond the end stays out, since a superblock that says so is refused: the region may be
// becoming smaller at this moment.
void BadBlocks::put_into(format::Superblock& s) const {
  const std::uint64_t end = s.region_blocks.load();
  std::uint32_t n = 0;
  for (auto& run : s.bad) {
    run = {};
  }
  for (const auto& [start, count] : bad_) {
    if (start >= end) {
      break;
    }
    if (n == format::kBadRuns) {
      base::log::warn("more memory is bad than a region can list; the rest is met again");
      break;
    }
    s.bad[n].start.store(start);
    s.bad[n].count.store(std::min(count, end - start));
    ++n;
  }
  s.bad_runs.store(n);
}

Status BadBlocks::record() {
  return superblock_.update([this](format::Superblock& s) { put_into(s); });
}

void BadBlocks::note_met() {
  const base::MediaErrorsForgiven not_the_callers;
  const std::lock_guard lock(mutex_);
  const std::uint64_t events = region_.media_events();
  std::uint64_t added = 0;
  for (const ByteRange& met : region_.met_lost()) {
    const BlockRun run{BlockNo(met.off.value / kBlock), met.n / kBlock};
    if (run.end().value <= layout_.blocks() && list(run)) {
      added += run.count;
    }
  }
  noted_.store(events, std::memory_order_release);
  if (added == 0) {
    return;
  }
  base::log::error(
      "{} blocks of the region's memory turned out to be bad; pmemfsctl media lists them", added);
  if (region_.read_only()) {
    return;
  }
  if (const Status done = record(); !done) {
    base::log::error(
        "the bad blocks could not be recorded: error {}; the next mount meets them again",
        done.code());
  }
}

void BadBlocks::add(BlockRun run) {
  const base::MediaErrorsForgiven not_the_callers;
  const std::lock_guard lock(mutex_);
  if (list(run) && !region_.read_only()) {
    (void)record();
  }
}

Status BadBlocks::forget(BlockRun run) {
  const std::lock_guard lock(mutex_);
  auto before = bad_;
  auto at = bad_.upper_bound(run.start.value);
  at = at == bad_.begin() ? at : std::prev(at);
  while (at != bad_.end() && at->first < run.end().value) {
    const std::uint64_t start = at->first;
    const std::uint64_t end = start + at->second;
    if (end <= run.start.value) {
      ++at;
      continue;
    }
    at = bad_.erase(at);
    if (start < run.start.value) {
      bad_.emplace(start, run.start.value - start);
    }
    if (end > run.end().value) {
      bad_.emplace(run.end().value, end - run.end().value);
    }
  }
  if (const Status done = record(); !done) {
    bad_.swap(before);
    return done;
  }
  blocks_.set_good(run);
  return {};
}

Status BadBlocks::heal(BlockRun run) {
  PMEMFS_CHECK(region_.heal(offset_of(run), run.count * kBlock));
  return forget(run);
}

std::vector<BlockRun> BadBlocks::runs() const {
  const std::lock_guard lock(mutex_);
  std::vector<BlockRun> all;
  for (const auto& [start, count] : bad_) {
    all.push_back({BlockNo(start), count});
  }
  return all;
}

std::uint64_t BadBlocks::count() const {
  std::uint64_t n = 0;
  for (const BlockRun& run : runs()) {
    n += run.count;
  }
  return n;
}

Status BadBlocks::resize(std::uint64_t blocks) {
  const std::lock_guard lock(mutex_);
  std::map<std::uint64_t, std::uint64_t> kept;
  for (const auto& [start, count] : bad_) {
    if (start < blocks) {
      kept.emplace(start, std::min(count, blocks - start));
    }
  }
  bad_.swap(kept);
  const Status done = superblock_.update([&](format::Superblock& s) {
    s.region_blocks.store(blocks);
    put_into(s);
  });
  if (!done) {
    bad_.swap(kept);
  }
  return done;
}

}  // namespace pmemfs::store
