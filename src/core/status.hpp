// What pmemfsctl shows.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "core/context.hpp"

namespace pmemfs::core {

Result<FilesystemSpace> space(Context& c);
FilesystemStatus status(Context& c);
// Walks the whole inode table, and the tree for the paths.
Result<std::vector<DurableFile>> durable_files(Context& c);

// One name of each inode, found by walking the tree; empty for those that have none.
std::unordered_map<InodeNo, std::string> paths_of(Context& c, const std::vector<InodeNo>& inodes);

}  // namespace pmemfs::core
