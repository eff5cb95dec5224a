// What a durable file in extents needs before it is promised: every block mapped and written, and
// as much of it in whole frames as there are.
#pragma once

#include "core/context.hpp"

namespace pmemfs::core::extent_data {

// Maps and zeroes every hole and unwritten range of [from, to), in bytes. Whole frames of the file
// come to lie in whole frames of the region (2 MiB, for huge pages and windows) while such are
// free, with what they hold, unless the file is pinned already: then only where nothing was.
// ENOSPC: what was a hole is one again. Where mappings have a coarser alignment than blocks the
// last such unit is filled to its end, if there is room. Lock: exclusive.
Status fill(Context& c, Node& node, InodeRecord& inode, std::uint64_t from, std::uint64_t to);

// How many whole frames of the file lie in whole frames of the region, and how many could.
struct Framed {
  std::uint64_t moved = 0;    // by this call
  std::uint64_t missing = 0;  // have no hole, and lie elsewhere still
};
// Moves whole frames of a file that is not pinned, those without holes, to whole frames of the
// region while such are free. Lock: exclusive.
Result<Framed> frame_data(Context& c, Node& node, InodeRecord& inode);

}  // namespace pmemfs::core::extent_data
