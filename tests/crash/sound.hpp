// Whether a region is whole, asked without mounting it.
#pragma once

#include "crash/world.hpp"

namespace pmemfs::crash {

// Throws std::runtime_error when fsck would find anything to repair. Replays the journal, as fsck
// does before it writes.
void require_sound(const Media& media);

}  // namespace pmemfs::crash
