#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "pmemfs/format.hpp"
#include "tools/cli.hpp"

namespace pmemfs::tools {

struct MkfsOptions {
  std::string path;
  bool emulate = false;
  bool force = false;
  bool quiet = false;
  std::uint64_t size = 0;  // 0: not given
  std::string label;
  format::Uuid uuid{};
  std::uint32_t root_uid = 0;
  std::uint32_t root_gid = 0;
  std::uint32_t root_mode = 0755;
};

CommandLine mkfs_command_line();

// Nothing when only help or the version was asked for. Throws Failure(kExitUsage).
std::optional<MkfsOptions> parse_mkfs_options(int argc, const char* const* argv);

}  // namespace pmemfs::tools
