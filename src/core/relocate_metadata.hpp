// Moves within the region what is not data of files: directories, extent blocks, xattrs, long
// symlink targets, and the inode table. A durable file's promise is about its data: what else it
// has moves. One call is one change, which a crash leaves done or not done. Regions without backing
// files.
#pragma once

#include "core/context.hpp"

namespace pmemfs::core {

// Blocks of `range` that hold such structures of the inode. EUCLEAN. Lock: shared.
Result<std::uint64_t> metadata_in(Context& c, const Node& node, const InodeRecord& inode,
                                  BlockRun range);

// Moves some of them to free blocks elsewhere; the caller holds `range` in the allocator. Returns
// how many blocks moved, 0 when none are left there. ENOSPC, EUCLEAN: nothing moved then.
// Lock: exclusive.
Result<std::uint64_t> relocate_metadata_out_of(Context& c, Node& node, BlockRun range);

// Moves the chunk of the inode table that begins with inode `first`; returns how many blocks.
// ENOSPC, EUCLEAN. One caller at a time (Context::compaction). No locks held: takes those of the
// inodes of the chunk, one after the other.
Result<std::uint64_t> relocate_chunk(Context& c, InodeNo first);

}  // namespace pmemfs::core
