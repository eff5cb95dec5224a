// Whether a region is whole, asked without mounting it.
#pragma once

#include <string>

#include "crash/world.hpp"

namespace pmemfs::crash {

// Throws std::runtime_error when a check finds anything to repair.
void require_sound(const Media& media, const std::string& where);

}  // namespace pmemfs::crash
