#pragma once

#include "tools/background.hpp"
#include "tools/daemon_options.hpp"

namespace pmemfs::tools {

// Opens the region, mounts it, serves it until it is unmounted or a signal asks for the end, and
// closes it. Returns the exit code; a failure before the mount is ready was told to `starter`, and
// is thrown as Failure when nobody waits (foreground).
int serve(const DaemonOptions& options, Starter& starter);

}  // namespace pmemfs::tools
