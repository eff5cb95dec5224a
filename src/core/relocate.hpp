// The one function that moves a file's data within the region. It asks the gate (gate.hpp).
#pragma once

#include "core/context.hpp"

namespace pmemfs::core {

// At most so many blocks move under one hold of the lock: 2 MiB.
inline constexpr std::uint64_t kRelocationStep = 512;

// Moves data that the file has inside `range` of the region to free blocks, at most kRelocationStep
// of them, in one change: a crash leaves all of it in the old place or in the new one. The caller
// holds `range` in the allocator, so that nothing moves back. Returns how many blocks moved, 0 when
// none are left there. Data in extents only.
// ETXTBSY, EBUSY from the gate; ENOSPC; EOPNOTSUPP for what is no regular file. On an error nothing
// moved. Lock: exclusive.
Result<std::uint64_t> relocate(Context& c, Node& node, BlockRun range);

}  // namespace pmemfs::core
