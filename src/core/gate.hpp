// The one gate before anything that moves a file's data or ends its promise: is it pinned, and may
// a mapping of it exist?
#pragma once

#include "core/context.hpp"

namespace pmemfs::core {

// Asks the kernel through a lease whether any open file or mapping of the backing file exists, of
// this daemon's time or before (docs/DESIGN.md, the gate). EBUSY when one may. Closes the node's
// own descriptor. Lock: exclusive. `wait_until_idle` ran before the lock was taken.
Status prove_unmapped(Context& c, Node& node, const InodeRecord& inode);

// Durable files are pinned: their data never moves. Every planner of moves asks this, too.
[[nodiscard]] bool pinned(const InodeRecord& inode);

// Before data is moved. ETXTBSY, and counted, when the file is pinned; EBUSY as prove_unmapped for
// a file with a backing file. Extents have no direct mapping on the host: what the page cache maps
// does not care where its blocks lie. Lock: exclusive.
Status may_move(Context& c, Node& node, const InodeRecord& inode);

// Lets the edge drop its cached registration, and waits a moment for RELEASE requests that lag
// behind close(2). No locks held.
void wait_until_idle(Context& c, Node& node);

// True when no writer and no mapping can change the file unseen: its attributes may be cached long.
// Looks at what is known and, when nobody has the file open, asks the kernel. Lock: shared.
bool proven_unmapped(Context& c, Node& node, const InodeRecord& inode);

}  // namespace pmemfs::core
