#pragma once

#include <optional>
#include <string>

#include "tools/cli.hpp"

namespace pmemfs::tools {

struct CtlOptions {
  std::string command;  // status, durable or counters
  std::string path;
  bool json = false;
  bool reset = false;
};

CommandLine ctl_command_line();

// Nothing when only help or the version was asked for. Throws Failure(kExitUsage).
std::optional<CtlOptions> parse_ctl_options(int argc, const char* const* argv);

}  // namespace pmemfs::tools
