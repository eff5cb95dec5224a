#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/cli.hpp"
#include "tools/mount_options.hpp"

// The command lines by which mount(8) and umount(8) call their helpers.
namespace pmemfs::tools {

struct MountHelperOptions {
  std::string source;
  std::string directory;
  bool fake = false;
  bool verbose = false;
  std::string mount_namespace;     // -N: a path or a process id
  std::vector<std::string> lists;  // the values of -o
  MountOptions mount;
};

CommandLine mount_helper_command_line();
std::optional<MountHelperOptions> parse_mount_helper_options(int argc, const char* const* argv);

struct UmountHelperOptions {
  std::string target;  // the mount point, or the region
  bool force = false;
  bool lazy = false;
  bool read_only = false;  // -r: when it is busy, make it read-only instead
  bool verbose = false;
  std::string mount_namespace;
};

CommandLine umount_helper_command_line();
std::optional<UmountHelperOptions> parse_umount_helper_options(int argc, const char* const* argv);

// Makes the namespace given by -N this process's own. Throws Failure.
void enter_mount_namespace(const std::string& path_or_pid);

}  // namespace pmemfs::tools
