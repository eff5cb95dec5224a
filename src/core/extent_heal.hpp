// Writing over data that memory errors took.
#pragma once

#include <vector>

#include "core/context.hpp"
#include "core/extent_edit.hpp"

namespace pmemfs::core::extent_data {

// The lost blocks under a write that covers them, made ready for it. A file that may move gets
// other blocks in their place, the lost ones become free, and stay on the list of bad ones. Those
// of a pinned file are made good where they are, or the write is refused.
class LostBlocks {
 public:
  LostBlocks(Context& c, Edit& edit) : c_(c), edit_(edit) {}
  LostBlocks(const LostBlocks&) = delete;
  LostBlocks& operator=(const LostBlocks&) = delete;
  // Unless settle() was called, what was healed holds zeros that are nobody's data: lost again.
  ~LostBlocks();

  // Before the blocks of `range`, which is to be written, are looked at. Blocks that hold more of
  // the file than `range` are left as they are. EIO: a pinned block cannot be healed; ENOSPC.
  Status replace(InodeRecord& inode, Range range);
  // After the commit: what was healed is off the list of bad blocks.
  void settle();

 private:
  Status replace_run(InodeRecord& inode, const store::Mapping& lost, Range range);

  Context& c_;
  Edit& edit_;
  std::vector<BlockRun> healed_;
};

}  // namespace pmemfs::core::extent_data
