#pragma once

#include <cstdint>

#include "pmemfs/result.hpp"

// Flags that local filesystems keep for a file or directory (FS_XFLAG_…, linux/fs.h).
namespace pmemfs::base {

// Sets or clears the flags in `mask`. False: they were so already, and nothing was written.
// EOPNOTSUPP or ENOTTY where the filesystem does not have them. Thread-safe, but not against
// another change of flags of the same file.
Result<bool> change_file_flags(int fd, std::uint32_t mask, bool on);

// Files and directories that are made in the directory from then on are mapped directly (DAX) where
// the host is mounted with dax=inode, which is what ext4 and xfs do when told nothing. Without
// effect with dax=always and dax=never. Best effort: who needs DAX probes for it. True when the
// directory was changed.
bool prefer_dax(int directory);

}  // namespace pmemfs::base
