#pragma once

#include "tools/ctl_options.hpp"
#include "tools/report.hpp"

// pmemfsctl migrate: moves files from one mounted region to another.
namespace pmemfs::tools {

// What was moved and what was left, as of a relocation. Throws Failure when nothing can begin.
Json migrate(const CtlOptions& options);

}  // namespace pmemfs::tools
