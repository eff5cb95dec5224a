#include "core/extent_edit.hpp"

#include <algorithm>

namespace pmemfs::core::extent_data {

namespace {

using store::Mapping;

constexpr std::uint64_t kHalfLane = 30U << 10U;

// Zeros the bytes of fresh run `run`, mapped at file block `logical`, that `written` does not
// cover.
void zero_around(Region& region, BlockRun run, std::uint64_t logical, Range written) {
  const std::uint64_t begin = logical * kBlock;
  const std::uint64_t end = begin + run.count * kBlock;
  const std::uint64_t head = std::clamp(written.begin, begin, end);
  const std::uint64_t tail = std::clamp(written.end, head, end);
  if (head > begin) {
    region.stream_zeros(format::byte_off(run.start), head - begin);
  }
  if (end > tail) {
    region.stream_zeros(format::byte_off(run.start, tail - begin), end - tail);
  }
}

// Behind the block before it.
store::AllocationHint hint_for(const store::ExtentMap& map, std::uint64_t logical) {
  store::AllocationHint hint;
  if (logical > 0) {
    const Mapping before = map.at(logical - 1);
    if (before.physical) {
      hint.near = BlockNo(before.physical.value + 1);
    }
  }
  return hint;
}

}  // namespace

Status load(Context& c, Node& node, const InodeRecord& inode) {
  if (node.extents) {
    return {};
  }
  PMEMFS_TRY(node.extents, store::ExtentMap::load(*c.store, inode));
  return {};
}

Edit::~Edit() {
  if (!committed_) {
    node_.extents.reset();
  }
}

bool Edit::full() const {
  return change_.log_bytes() > kHalfLane;
}

Status Edit::commit(InodeRecord& inode) {
  change_.put_inode(inode);
  PMEMFS_CHECK(change_.commit());
  committed_ = true;
  return {};
}

Mapping piece(const store::ExtentMap& map, std::uint64_t logical, std::uint64_t end) {
  Mapping m = map.at(logical);
  m.count = std::min(m.count, end - logical);
  return m;
}

Result<std::uint64_t> map_hole(Edit& edit, InodeRecord& inode, std::uint64_t logical,
                               std::uint64_t count, bool unwritten, Range written) {
  PMEMFS_TRY(const BlockRun run, edit.change().allocate(count, hint_for(edit.map(), logical)));
  if (!unwritten) {
    zero_around(edit.region(), run, logical, written);
    edit.change().needs_fence();
  }
  PMEMFS_CHECK(edit.map().insert(edit.change(), inode, {logical, run.start, run.count, unwritten}));
  return run.count;
}

Status use_unwritten(Edit& edit, InodeRecord& inode, const Mapping& m, Range written) {
  zero_around(edit.region(), {m.physical, m.count}, m.logical, written);
  edit.change().needs_fence();
  return edit.map().mark_written(edit.change(), inode, m.logical, m.count);
}

Status copy_blocks(Edit& edit, BlockNo from, BlockRun to) {
  const std::uint64_t n = to.count * kBlock;
  if (edit.region().lost(format::byte_off(from), n)) {
    return Error(EIO);
  }
  edit.region().stream(format::byte_off(to.start),
                       edit.region().data() + format::byte_off(from).value, n);
  edit.change().needs_fence();
  return edit.region().lost(format::byte_off(from), n) ? Status(Error(EIO)) : Status();
}

void zero_written(Edit& edit, Range range) {
  for (std::uint64_t at = range.begin; at < range.end;) {
    const Mapping m = edit.map().at(at / kBlock);
    const std::uint64_t in_block = at % kBlock;
    const std::uint64_t n = std::min(range.end - at, m.count * kBlock - in_block);
    if (m.physical && !m.unwritten) {
      edit.region().stream_zeros(format::byte_off(m.physical, in_block), n);
      edit.change().needs_fence();
    }
    at += n;
  }
}

}  // namespace pmemfs::core::extent_data
