// Files that move to another filesystem: somebody else copies them, the core says when and checks
// that nothing came in between.
#pragma once

#include <string_view>

#include "core/context.hpp"

namespace pmemfs::core {

// As Filesystem::stamp_to_move and Filesystem::unlink_moved. No locks held.
Result<FileStamp> stamp_to_move(Context& c, InodeNo ino);
Status unlink_moved(Context& c, InodeNo dir, std::string_view name, const FileStamp& stamp);

}  // namespace pmemfs::core
