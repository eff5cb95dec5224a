#pragma once

#include <optional>
#include <string>

#include "tools/ctl_options.hpp"
#include "tools/report.hpp"

// pmemfsctl's commands that move data and change sizes.
namespace pmemfs::tools {

// The report of defrag, compact, evacuate, grow or shrink, asked of the daemon; how far it is goes
// to stderr when that is a terminal. Nothing: another command. Throws Failure: not mounted, a file
// named by itself that may not move, …
std::optional<Json> rearrange(const CtlOptions& options);

// Why the range of an evacuation is not empty, or the region not smaller, if that is what a report
// says: a line for people. Durable files are ETXTBSY.
std::optional<std::string> what_stays(const CtlOptions& options, const Json& report);

}  // namespace pmemfs::tools
