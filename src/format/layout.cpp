#include "format/layout.hpp"

namespace pmemfs::format {
namespace {

constexpr std::uint32_t kMaxLanes = 4096;
constexpr std::uint32_t kMaxLaneBlocks = 4096;
constexpr std::uint64_t kMaxBlocks = kMaxRegionSize / kBlockSize;

std::uint64_t lane_end(const Superblock& s) {
  const std::uint64_t blocks = std::uint64_t{s.lane_count.load()} * s.lane_blocks.load();
  return s.lane_start.load() + blocks;
}

bool lanes_well_formed(const Superblock& s) {
  const std::uint32_t count = s.lane_count.load();
  const std::uint32_t blocks = s.lane_blocks.load();
  const std::uint64_t start = s.lane_start.load();
  return count >= 1 && count <= kMaxLanes && blocks >= 1 && blocks <= kMaxLaneBlocks &&
         start >= 1 && start < kSuperblockCopyBlock && lane_end(s) <= kSuperblockCopyBlock;
}

bool bad_runs_well_formed(const Superblock& s) {
  const std::uint64_t blocks = s.region_blocks.load();
  std::uint64_t at = 0;
  for (std::uint32_t i = 0; i < s.bad_runs.load(); ++i) {
    if (i == kBadRuns) {
      return false;
    }
    const std::uint64_t start = s.bad[i].start.load();
    const std::uint64_t count = s.bad[i].count.load();
    if (start < at || start >= blocks || count == 0 || count > blocks - start) {
      return false;
    }
    at = start + count;
  }
  return true;
}

bool enumerations_known(const Superblock& s) {
  const std::uint32_t kind = s.kind.load();
  const std::uint32_t state = s.state.load();
  return kind >= 1 && kind <= static_cast<std::uint32_t>(RegionKind::kDevdax) && state >= 1 &&
         state <= static_cast<std::uint32_t>(RegionState::kDirty);
}

}  // namespace

bool understood(const Superblock& s) {
  return s.version.load() == kFormatVersion && (s.incompat.load() & ~kKnownIncompat) == 0;
}

bool well_formed(const Superblock& s) {
  const std::uint64_t blocks = s.region_blocks.load();
  if (s.block_size.load() != kBlockSize || blocks < kMinRegionSize / kBlockSize ||
      blocks > kMaxBlocks || !lanes_well_formed(s) || !enumerations_known(s) ||
      !bad_runs_well_formed(s)) {
    return false;
  }
  const BlockNo root(s.inode_root.load());
  const BlockNo copy(s.inode_root_copy.load());
  const Layout layout(s);
  return layout.usable(root) && layout.usable(copy) && root != copy;
}

Layout::Layout(const Superblock& s) : first_(lane_end(s)), blocks_(s.region_blocks.load()) {}

#ifdef PMEMFS_CONTROL_NO_LAYOUT  // a test's control: damaged images and the fuzz targets must catch
                                 // it
bool Layout::usable(BlockRun /*run*/) const {
  return true;
}
#else
bool Layout::usable(BlockRun run) const {
  const std::uint64_t start = run.start.value;
  const std::uint64_t total = blocks();
  if (run.count == 0 || start < first_ || start >= total || run.count > total - start) {
    return false;
  }
  return start > kSuperblockCopyBlock || run.end().value <= kSuperblockCopyBlock;
}
#endif

}  // namespace pmemfs::format
