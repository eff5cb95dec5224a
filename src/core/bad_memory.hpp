// Whose the memory is that media errors took.
#pragma once

#include <vector>

#include "core/context.hpp"

namespace pmemfs::core {

// As Filesystem::bad_memory, ascending. Walks the inode table when some of it is in use. No locks
// held.
Result<std::vector<BadMemory>> bad_memory(Context& c);

}  // namespace pmemfs::core
