// Giving lost inodes back: by what else tells of them.
#pragma once

#include "check/pass.hpp"

namespace pmemfs::check {

// Of the inodes that check_inodes() found damaged: directories by the headers of their blocks,
// files by their host files. The others become free. Then host files whose inodes are gone without
// a trace, and the root. Inodes come back with the rights of root alone, and without extended
// attributes. Only in a repair.
void recover_inodes(Pass& p);

// Whether the inode table proves that a host file without an inode was given up.
[[nodiscard]] bool proven_freed(const Pass& p, BackingName name);

}  // namespace pmemfs::check
