// What pmemfsctl shows.
#pragma once

#include <vector>

#include "core/context.hpp"

namespace pmemfs::core {

Result<FilesystemSpace> space(Context& c);
FilesystemStatus status(Context& c);
// Walks the whole inode table, and the tree for the paths.
Result<std::vector<DurableFile>> durable_files(Context& c);

}  // namespace pmemfs::core
