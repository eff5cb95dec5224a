// Open files.
#pragma once

#include "core/context.hpp"

namespace pmemfs::core {

Result<Opened> open_file(Context& c, InodeNo ino, int flags, bool kill, Reach reach);
void release(Context& c, HandleId id);
Result<int> backing_fd(Context& c, HandleId id);
void set_path(Context& c, HandleId id, DataPath path);

// Counts a new handle on a locked node and gives it a number. Lock: exclusive.
Opened add_handle(Context& c, NodeRef ref, const InodeRecord& inode, int flags, Reach reach);

}  // namespace pmemfs::core
