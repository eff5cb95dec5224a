// What an inode keeps in chains of blob blocks.
#pragma once

#include "check/pass.hpp"

namespace pmemfs::check {

// Claims the blocks of the xattrs, says what is wrong with them, and takes out of `inode` what
// cannot stay: all of them, or, by the fixer, single records.
void check_xattrs(Pass& p, format::Inode& inode);

// The same of the target of a symlink.
void check_target(Pass& p, format::Inode& inode);

}  // namespace pmemfs::check
