// Blocks that tell themselves whose they are.
#pragma once

#include "check/pass.hpp"

namespace pmemfs::check {

// Notes in p.structures the blocks of extent chains, blobs and directories that name the inode
// which leads to them, and no other: where blocks are contested, no file's data can be there.
// Bounded by the region's size. Nothing is said or claimed.
void find_structures(Pass& p);

}  // namespace pmemfs::check
