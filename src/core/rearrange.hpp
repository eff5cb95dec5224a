// Bringing data together, that of files or free space, for pmemfsctl. It moves by relocate.hpp, in
// steps between which others get at their files.
#pragma once

#include "core/context.hpp"

namespace pmemfs::core {

// As Filesystem::defrag. No locks held.
Result<Relocated> defrag(Context& c, InodeNo ino, const RelocationWatch& watch);
// As Filesystem::make_frames. No locks held.
Result<Relocated> compact(Context& c, std::uint64_t frames, const RelocationWatch& watch);

}  // namespace pmemfs::core
