// The test cases, for one placement each, so that two programs share them.
#pragma once

#include "crash/world.hpp"

namespace pmemfs::crash {

// Each prints its figures, and fails the running test case for every violation.

// Every operation by itself, and with a new file there that was written and not synced: many states
// of each cut, and second cuts.
void explore_singles(Placement placement);
// Every two operations, with cuts in the second: one state of each, or PMEMFS_CRASH_STATES beside
// the one that loses everything.
void explore_pairs(Placement placement);
// PMEMFS_CRASH_WALKS long ways.
void explore_walks(Placement placement);
// PMEMFS_CRASH_WORKLOAD, such as "create n; write n": the last one is cut, with many states.
void explore_given(Placement placement);

}  // namespace pmemfs::crash
