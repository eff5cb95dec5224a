// Emptying a range of the region, and making the region smaller, for pmemfsctl. Everything moves by
// relocate.hpp and relocate_metadata.hpp, in steps between which others get at their files.
#pragma once

#include "core/context.hpp"

namespace pmemfs::core {

// As Filesystem::evacuate and Filesystem::shrink_region. No locks held.
Result<Relocated> evacuate(Context& c, std::uint64_t off, std::uint64_t len,
                           const RelocationWatch& watch);
Result<Relocated> shrink_region(Context& c, std::uint64_t size, const RelocationWatch& watch);

}  // namespace pmemfs::core
