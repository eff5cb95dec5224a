// Long work on where the data of many files lies, for pmemfsctl. Everything moves by relocate.hpp,
// in steps between which others get at their files.
#pragma once

#include "core/context.hpp"

namespace pmemfs::core {

// As Filesystem::defrag and Filesystem::evacuate. No locks held.
Result<Relocated> defrag(Context& c, InodeNo ino, const RelocationWatch& watch);
Result<Relocated> evacuate(Context& c, std::uint64_t off, std::uint64_t len,
                           const RelocationWatch& watch);

}  // namespace pmemfs::core
