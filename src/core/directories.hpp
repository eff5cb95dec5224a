// Directory indexes in DRAM: loading, locking, dropping under pressure.
#pragma once

#include <shared_mutex>

#include "core/context.hpp"

namespace pmemfs::core {

// The inode of a live directory with its index loaded. ENOENT when it was removed, ENOTDIR.
// Lock: exclusive.
Result<InodeRecord> open_directory(Context& c, Node& node);

// Loads the index when it is not in DRAM, of a removed directory too. Lock: exclusive.
Status load_index(Context& c, Node& node, const InodeRecord& dir);

// Holds the lock shared, the index loaded.
Result<std::shared_lock<std::shared_mutex>> lock_directory(Context& c, Node& node);

// After a change of the directory: keeps the count of DRAM true. `before`: memory_bytes() then.
void index_changed(Context& c, const Node& node, std::size_t before);
// A change of the directory failed after it touched the index.
void discard_index(Context& c, Node& node);

// Drops indexes least recently used until all take at most `bytes`. No locks held.
void drop_indexes(Context& c, std::uint64_t bytes);

}  // namespace pmemfs::core
