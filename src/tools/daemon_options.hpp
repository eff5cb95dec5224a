#pragma once

#include <optional>
#include <string>

#include "tools/cli.hpp"
#include "tools/mount_options.hpp"

namespace pmemfs::tools {

struct DaemonOptions {
  std::string region;
  std::string mount_point;
  bool foreground = false;
  bool debug = false;
  bool verbose = false;
  MountOptions mount;
};

CommandLine daemon_command_line();

// Nothing when only help or the version was asked for. Throws Failure(kExitUsage).
std::optional<DaemonOptions> parse_daemon_options(int argc, const char* const* argv);

}  // namespace pmemfs::tools
