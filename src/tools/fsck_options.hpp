#pragma once

#include <optional>
#include <string>

#include "tools/cli.hpp"

namespace pmemfs::tools {

struct FsckOptions {
  enum class Mode { kLook, kPreen, kRepair, kUndo };

  std::string path;
  Mode mode = Mode::kLook;
  bool force = false;
  bool json = false;
  bool verbose = false;
  std::string undo_file;  // to write, or with kUndo to apply
  int progress_fd = -1;   // -1: a line on a terminal
};

CommandLine fsck_command_line();

// Nothing when only help or the version was asked for. Throws Failure(kExitUsage).
std::optional<FsckOptions> parse_fsck_options(int argc, const char* const* argv);

}  // namespace pmemfs::tools
