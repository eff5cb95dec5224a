// Bringing the data of files together, for pmemfsctl. It moves by relocate.hpp, in steps between
// which others get at their files.
#pragma once

#include "core/context.hpp"

namespace pmemfs::core {

// As Filesystem::defrag. No locks held.
Result<Relocated> defrag(Context& c, InodeNo ino, const RelocationWatch& watch);

}  // namespace pmemfs::core
