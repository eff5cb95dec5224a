#include "core/extent_fill.hpp"

#include <algorithm>
#include <vector>

#include "core/extent_edit.hpp"
#include "core/gate.hpp"
#include "store/allocator.hpp"

namespace pmemfs::core::extent_data {

namespace {

using store::Mapping;

bool in_whole_frame(const Mapping& m) {
  return m.physical && !m.unwritten && m.count >= kFrameBlocks &&
         m.physical.value % kFrameBlocks == 0;
}

// Brings what lies at file blocks [logical, logical + kFrameBlocks) to the frame; zeros elsewhere.
Status copy_to_frame(Edit& edit, std::uint64_t logical, BlockNo frame) {
  const std::uint64_t end = logical + kFrameBlocks;
  for (std::uint64_t at = logical; at < end;) {
    const Mapping m = piece(edit.map(), at, end);
    const BlockRun to{BlockNo(frame.value + (at - logical)), m.count};
    if (m.physical && !m.unwritten) {
      PMEMFS_CHECK(copy_blocks(edit, m.physical, to));
    } else {
      edit.region().stream_zeros(format::byte_off(to.start), m.count * kBlock);
    }
    at += m.count;
  }
  edit.change().needs_fence();
  return {};
}

// False when it must be done block by block: no frame is free, or what is there may not move.
Result<bool> fill_frame(Context& c, Node& node, InodeRecord& inode, std::uint64_t logical) {
  const Mapping present = node.extents->at(logical);
  if (in_whole_frame(present)) {
    return true;
  }
  const bool hole = !present.physical && present.count >= kFrameBlocks;
  if (!hole && (pinned(inode) || !may_move(c, inode))) {
    return false;
  }
  InodeRecord changed = inode;
  Edit edit(c, node);
  const auto frame = edit.change().allocate(
      kFrameBlocks, {.near = BlockNo(), .alignment = kFrameBlocks, .whole = true});
  Status done = frame ? Status() : Status(frame.error());
  if (done) {
    done = copy_to_frame(edit, logical, frame->start);
  }
  if (done) {
    done = edit.map().remove(edit.change(), changed, logical, kFrameBlocks);
  }
  if (done) {
    done = edit.map().insert(edit.change(), changed, {logical, frame->start, kFrameBlocks, false});
  }
  if (done.code() == ENOSPC || done.code() == E2BIG) {
    return false;
  }
  PMEMFS_CHECK(done);
  PMEMFS_CHECK(edit.commit(changed));
  inode = changed;
  return true;
}

// Block by block, as far as one change goes; returns where it stopped.
Result<std::uint64_t> fill_blocks(Context& c, Node& node, InodeRecord& inode, std::uint64_t from,
                                  std::uint64_t end) {
  Edit edit(c, node);
  std::uint64_t at = from;
  while (at < end && !edit.full()) {
    const Mapping m = piece(edit.map(), at, end);
    std::uint64_t n = m.count;
    if (!m.physical) {
      PMEMFS_TRY(n, map_hole(edit, inode, at, m.count, false, {}));
    } else if (m.unwritten) {
      PMEMFS_CHECK(use_unwritten(edit, inode, m, {}));
    }
    at += n;
  }
  PMEMFS_CHECK(edit.commit(inode));
  return at;
}

Status fill_range(Context& c, Node& node, InodeRecord& inode, std::uint64_t at, std::uint64_t end) {
  while (at < end) {
    PMEMFS_CHECK(load(c, node, inode));
    if (at % kFrameBlocks == 0 && end - at >= kFrameBlocks) {
      PMEMFS_TRY(const bool done, fill_frame(c, node, inode, at));
      if (done) {
        at += kFrameBlocks;
        continue;
      }
      PMEMFS_CHECK(load(c, node, inode));
    }
    const std::uint64_t stop = std::min(end, (at / kFrameBlocks + 1) * kFrameBlocks);
    PMEMFS_TRY(at, fill_blocks(c, node, inode, at, stop));
  }
  return {};
}

std::vector<Mapping> holes_in(const store::ExtentMap& map, std::uint64_t at, std::uint64_t end) {
  std::vector<Mapping> holes;
  while (at < end) {
    const Mapping m = piece(map, at, end);
    if (!m.physical) {
      holes.push_back(m);
    }
    at += m.count;
  }
  return holes;
}

// Makes holes of what was filled. Best effort: what stays mapped reads as zeros, as the hole did.
void give_back(Context& c, Node& node, InodeRecord& inode, const std::vector<Mapping>& holes) {
  for (const Mapping& hole : holes) {
    for (std::uint64_t left = hole.count; left > 0;) {
      if (!load(c, node, inode)) {
        return;
      }
      InodeRecord changed = inode;
      Edit edit(c, node);
      const auto rest = edit.map().remove_some(edit.change(), changed, hole.logical, left);
      if (!rest || !edit.commit(changed)) {
        return;
      }
      inode = changed;
      left = *rest;
    }
  }
}

}  // namespace

Result<Framed> frame_data(Context& c, Node& node, InodeRecord& inode) {
  Framed framed;
  const std::uint64_t end = inode.size.load() / format::kFrameSize * kFrameBlocks;
  for (std::uint64_t at = 0; at < end; at += kFrameBlocks) {
    PMEMFS_CHECK(load(c, node, inode));
    if (in_whole_frame(node.extents->at(at)) ||
        !holes_in(*node.extents, at, at + kFrameBlocks).empty()) {
      continue;
    }
    bool done = false;
    if (framed.missing == 0) {  // else none is free
      PMEMFS_TRY(done, fill_frame(c, node, inode, at));
    }
    (done ? framed.moved : framed.missing)++;
  }
  return framed;
}

Status fill(Context& c, Node& node, InodeRecord& inode, std::uint64_t from, std::uint64_t to) {
  const std::uint64_t begin = from / kBlock;
  std::uint64_t end = blocks_for(to);
  PMEMFS_CHECK(load(c, node, inode));
  const std::uint64_t unit = c.store->region().mapping_alignment() / kBlock;
  const std::uint64_t whole = (end + unit - 1) / unit * unit;
  const auto room_to = [&](std::uint64_t stop) {
    return store::blocks_of(holes_in(*node.extents, begin, stop)) <=
           c.store->blocks().free_blocks();
  };
  if (room_to(whole)) {
    end = whole;  // on a device a window maps all of it or nothing
  } else if (!room_to(end)) {
    return Error(ENOSPC);
  }
  const std::vector<Mapping> holes = holes_in(*node.extents, begin, end);
  const Status filled = fill_range(c, node, inode, begin, end);
  if (!filled) {
    give_back(c, node, inode, holes);
  }
  return filled;
}

}  // namespace pmemfs::core::extent_data
