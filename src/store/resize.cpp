// The size of the filesystem: growth by itself and by hand, and shrinking.
#include <algorithm>

#include "base/log.hpp"
#include "store/impl.hpp"

namespace pmemfs::store {
namespace {

using format::Superblock;

constexpr std::uint64_t kMinGrowth = format::kFrameSize / format::kBlockSize;
constexpr std::uint64_t kGrowthStep = (256ULL << 20U) / format::kBlockSize;  // asked for by people
constexpr std::uint64_t kMaxGrowth = (64ULL << 20U) / format::kBlockSize;

}  // namespace

// Order: the region first, the superblock next, the blocks last. A crash in between leaves a tail
// that the superblock does not know: the next open() adopts it where the region is ours to grow,
// else the next grow().
Status Store::Impl::adopt(std::uint64_t end) {
  const std::uint64_t old = layout.blocks();
  if (end <= old) {
    return {};
  }
  PMEMFS_CHECK(superblock.update([&](Superblock& s) { s.region_blocks.store(end); }));
  layout.resized(end);
  blocks.add({BlockNo(old), end - old});
  return {};
}

Status Store::Impl::grow(std::uint64_t wanted) {
  if (!growable) {
    return Error(ENOSPC);
  }
  const std::uint64_t seen = layout.blocks();
  const std::lock_guard lock(grow_mutex);
  if (layout.blocks() != seen) {
    return {};  // another thread was faster
  }
  const std::uint64_t most = format::kMaxRegionSize / format::kBlockSize;
  const std::uint64_t step = std::max(std::clamp(seen / 8, kMinGrowth, kMaxGrowth), wanted);
  const std::uint64_t target = std::min(most, seen + step);
  if (target <= seen || !region.grow(target * format::kBlockSize)) {
    return Error(ENOSPC);
  }
  return adopt(region.size() / format::kBlockSize);
}

Result<std::uint64_t> Store::grow(std::uint64_t size) {
  Impl& impl = *impl_;
  if (read_only()) {
    return Error(EROFS);
  }
  const std::lock_guard lock(impl.grow_mutex);
  const std::uint64_t wanted = size == 0 ? impl.region.size() : size;
  const std::uint64_t end = wanted / format::kBlockSize;
  if (end <= impl.layout.blocks()) {
    return Error(EINVAL);
  }
  if (wanted > format::kMaxRegionSize) {
    return Error(EFBIG);
  }
  while (impl.layout.blocks() < end) {
    const std::uint64_t next = std::min(end, impl.layout.blocks() + kGrowthStep);
    if (next * format::kBlockSize > impl.region.size()) {
      PMEMFS_CHECK(impl.region.grow(next * format::kBlockSize));
    }
    PMEMFS_CHECK(impl.adopt(next));
  }
  return end * format::kBlockSize;
}

Status Store::shrink(std::uint64_t from, std::uint64_t size) {
  Impl& impl = *impl_;
  if (read_only()) {
    return Error(EROFS);
  }
  const std::lock_guard lock(impl.grow_mutex);
  const std::uint64_t old = impl.layout.blocks();
  const std::uint64_t end = size / format::kBlockSize;
  if (from != old * format::kBlockSize) {
    return Error(EBUSY);
  }
  if (end < old && !impl.blocks.cut_off({BlockNo(end), old - end})) {
    return Error(EBUSY);
  }
  if (end < old) {
    PMEMFS_CHECK(impl.bad.resize(end));
    impl.layout.resized(end);
  }
  // The filesystem is smaller whatever becomes of this.
  const Status cut = impl.region.shrink(size);
  if (cut) {
    impl.region.count_as_good(ByteOff(size), from - size);  // what grows there is another memory
  } else if (cut.code() != EOPNOTSUPP) {
    base::log::warn("the region's file could not be cut to its new size: error {}", cut.code());
  }
  return {};
}

}  // namespace pmemfs::store
