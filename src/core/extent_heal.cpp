#include "core/extent_heal.hpp"

#include <algorithm>
#include <utility>

#include "base/log.hpp"
#include "core/gate.hpp"
#include "store/bad_blocks.hpp"

namespace pmemfs::core::extent_data {

using store::Mapping;

LostBlocks::~LostBlocks() {
  for (const BlockRun& run : healed_) {
    edit_.region().count_as_lost(format::byte_off(run.start), run.count * kBlock);
  }
}

void LostBlocks::settle() {
  for (const BlockRun& run : std::exchange(healed_, {})) {
    if (const Status done = c_.store->bad_blocks().forget(run); !done) {
      base::log::warn("block {} was overwritten but stays on the list of bad ones: error {}",
                      run.start.value, done.code());
    }
  }
}

Status LostBlocks::replace_run(InodeRecord& inode, const Mapping& lost, Range range) {
  if (pinned(inode) || exported(c_, inode)) {
    const BlockRun run{lost.physical, lost.count};
    if (const Status healed = edit_.region().heal(format::byte_off(run.start), run.count * kBlock);
        !healed) {
      base::log::error(
          "inode {} is durable or mapped and cannot be overwritten at byte {}: its memory is bad "
          "and does "
          "not become good (error {}); on a device clear it with ndctl clear-errors first",
          inode.ino.load(), lost.logical * kBlock, healed.code());
      return Error(EIO);
    }
    healed_.push_back(run);
    return {};
  }
  PMEMFS_CHECK(edit_.map().remove(edit_.change(), inode, lost.logical, lost.count));
  for (std::uint64_t at = 0; at < lost.count;) {
    PMEMFS_TRY(const std::uint64_t n,
               map_hole(edit_, inode, lost.logical + at, lost.count - at, false, range));
    at += n;
  }
  return {};
}

Status LostBlocks::replace(InodeRecord& inode, Range range) {
  const Region& region = edit_.region();
  if (!region.any_lost()) {
    return {};
  }
  c_.store->bad_blocks().note();
  const auto is_lost = [&](BlockNo block) {
    return region.lost(format::byte_off(block), kBlock);
  };
  const bool to_the_end = range.end >= inode.size.load();
  const std::uint64_t end = to_the_end ? blocks_for(range.end) : range.end / kBlock;
  for (std::uint64_t at = blocks_for(range.begin); at < end;) {
    const Mapping m = piece(edit_.map(), at, end);
    if (!m.physical) {
      at += m.count;
      continue;
    }
    Mapping lost{at, m.physical, 0, false};
    while (lost.count < m.count && is_lost(BlockNo(m.physical.value + lost.count))) {
      ++lost.count;
    }
    if (lost.count > 0) {
      PMEMFS_CHECK(replace_run(inode, lost, range));
    }
    at += std::max<std::uint64_t>(lost.count, 1);
  }
  return {};
}

}  // namespace pmemfs::core::extent_data
