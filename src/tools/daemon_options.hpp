#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/cli.hpp"
#include "tools/guest_options.hpp"
#include "tools/mount_options.hpp"

namespace pmemfs::tools {

struct DaemonOptions {
  std::string region;
  std::string mount_point;  // empty: guests alone are served
  bool foreground = false;
  bool debug = false;
  bool verbose = false;
  MountOptions mount;
  std::vector<GuestOptions> guests;
};

CommandLine daemon_command_line();

// Nothing when only help or the version was asked for. Throws Failure(kExitUsage).
std::optional<DaemonOptions> parse_daemon_options(int argc, const char* const* argv);

}  // namespace pmemfs::tools
