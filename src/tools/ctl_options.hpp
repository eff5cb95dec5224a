#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/cli.hpp"

namespace pmemfs::tools {

struct CtlOptions {
  std::string command;  // status, durable, counters, defrag, compact, evacuate, grow, …
  std::vector<std::string> paths;  // one, but for defrag and migrate
  bool json = false;
  bool reset = false;        // counters
  bool region = false;       // defrag: everything
  std::uint64_t offset = 0;  // evacuate, in bytes
  std::uint64_t length = 0;
  std::uint64_t size = 0;  // shrink, compact; grow, 0: all there is
  std::string to;          // migrate: the directory where it goes
};

CommandLine ctl_command_line();

// Nothing when only help or the version was asked for. Throws Failure(kExitUsage).
std::optional<CtlOptions> parse_ctl_options(int argc, const char* const* argv);

}  // namespace pmemfs::tools
