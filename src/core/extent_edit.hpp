// One change of the extents of one file, and the pieces that such changes are made of.
#pragma once

#include "core/context.hpp"
#include "core/range.hpp"
#include "format/layout.hpp"
#include "store/change.hpp"
#include "store/extent_map.hpp"

namespace pmemfs::core::extent_data {

inline constexpr std::uint64_t kBlock = format::kBlockSize;
inline constexpr std::uint64_t kFrameBlocks = format::kFrameSize / kBlock;

constexpr std::uint64_t blocks_for(std::uint64_t bytes) {
  return (bytes + kBlock - 1) / kBlock;
}

// Loads the extent map when it is not in DRAM. Lock: exclusive.
Status load(Context& c, Node& node, const InodeRecord& inode);

// The map in DRAM is dropped when the change does not reach the media. The node's extents are
// loaded. Lock: exclusive, until commit() returned.
class Edit {
 public:
  Edit(Context& c, Node& node) : change_(*c.store), node_(node) {}
  Edit(const Edit&) = delete;
  Edit& operator=(const Edit&) = delete;
  ~Edit();

  [[nodiscard]] store::Change& change() { return change_; }
  [[nodiscard]] Region& region() { return change_.region(); }
  [[nodiscard]] store::ExtentMap& map() const { return *node_.extents; }
  // To be committed before its log outgrows a lane.
  [[nodiscard]] bool full() const;
  Status commit(InodeRecord& inode);

 private:
  store::Change change_;
  Node& node_;
  bool committed_ = false;
};

// The mapping or hole at `logical`, at most to file block `end`.
[[nodiscard]] store::Mapping piece(const store::ExtentMap& map, std::uint64_t logical,
                                   std::uint64_t end);

// Maps up to `count` blocks over the hole at `logical`; returns how many. The part of them outside
// `written` is zeroed unless they are `unwritten`.
Result<std::uint64_t> map_hole(Edit& edit, InodeRecord& inode, std::uint64_t logical,
                               std::uint64_t count, bool unwritten, Range written);

// Turns part of an unwritten mapping into a written one, zeroing what `written` leaves.
Status use_unwritten(Edit& edit, InodeRecord& inode, const store::Mapping& m, Range written);

// Copies written blocks into fresh ones. EIO: some of them are lost, and what was copied is no
// data.
Status copy_blocks(Edit& edit, BlockNo from, BlockRun to);

// Zeros in place over what is written; holes and unwritten ranges read as zeros already.
void zero_written(Edit& edit, Range range);

}  // namespace pmemfs::core::extent_data
