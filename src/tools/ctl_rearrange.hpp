#pragma once

#include "tools/ctl_options.hpp"
#include "tools/report.hpp"

// pmemfsctl's commands that move data and change sizes.
namespace pmemfs::tools {

// The report of defrag, evacuate or grow, asked of the daemon; how far it is goes to stderr when
// that is a terminal. Throws Failure: not mounted, a file named by itself that may not move, …
Json rearrange(const CtlOptions& options);

}  // namespace pmemfs::tools
