// The journal before anything else is read.
#pragma once

#include "check/check.hpp"
#include "check/findings.hpp"

namespace pmemfs::check {

// Replays it, and says what no crash explains. A lane that makes no sense keeps all from being
// replayed; a repair drops it first. Notes of what is as it should be go to the report.
Status check_lanes(Region& region, const format::Superblock& s, bool repair, Findings& out,
                   Report& report);

}  // namespace pmemfs::check
