// Names for what has none.
#pragma once

#include "check/pass.hpp"

namespace pmemfs::check {

// Gives each inode of p.adrift the name "#<inode>" in /lost+found, which is made where it is
// missing. The region is opened as a mount does, after a pass that has repaired all else, and is
// clean afterwards. False: nothing was changed, since the region is not sound, or has no room.
bool name_adrift(Pass& p);

}  // namespace pmemfs::check
