// The end of an inode: link count 0 and nobody holds it.
#pragma once

#include "core/context.hpp"

namespace pmemfs::core {

// Adds to `change` what frees the inode with all it holds in the region. Lock: exclusive.
Status free_everything(store::Change& change, const InodeRecord& inode);

// After the change that freed it is retired: the host file goes (invariant: the region is ahead).
void drop_host_file(Context& c, const InodeRecord& inode);

// Frees the inode of a node that is unlinked and held by the caller alone. No locks held.
void reap(Context& c, Node& node);

}  // namespace pmemfs::core
