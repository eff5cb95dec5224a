#include "tools/helper_options.hpp"

#include <fcntl.h>
#include <sched.h>

#include <cerrno>

#include "base/unique_fd.hpp"
#include "tools/failure.hpp"
#include "tools/mount_table.hpp"
#include "tools/size.hpp"

namespace pmemfs::tools {
namespace {

// Of a subtype's helper: "fuse.pmemfs", or "pmemfs" from those who leave out the first half.
void check_type(const po::variables_map& vars) {
  const std::string type = text_of(vars, "types");
  if (!type.empty() && type != kFilesystemType && type != "pmemfs") {
    fail(kExitUsage, "-t {}: this helper mounts {} alone", type, kFilesystemType);
  }
}

void add_common(CommandLine& line) {
  line.options.add_options()("no-mtab,n", "accepted; there is no mtab to write")(
      "verbose,v", "say what is done")("namespace,N", text_value("NS"),
                                       "do it in the mount namespace of this process or file")(
      "types,t", text_value("TYPE"), "fuse.pmemfs");
}

}  // namespace

CommandLine mount_helper_command_line() {
  CommandLine line;
  line.program = "mount.fuse.pmemfs";
  line.synopsis = "REGION DIR [-sfnvV] [-N NS] [-o LIST] [-t TYPE]";
  line.purpose = "The helper behind mount -t fuse.pmemfs REGION DIR: starts the daemon pmemfs.";
  line.options.add_options()("fake,f", "check the options and do nothing")(
      "sloppy,s", "tolerate unknown mount options")("options,o", texts_value("LIST"),
                                                    "mount options, separated by commas");
  add_common(line);
  line.positional = {{"source", 1}, {"directory", 1}};
  line.epilogue = describe_own_options();
  return line;
}

std::optional<MountHelperOptions> parse_mount_helper_options(int argc, const char* const* argv) {
  const CommandLine line = mount_helper_command_line();
  const auto vars = parse_command_line(line, argc, argv);
  if (!vars) {
    return std::nullopt;
  }
  check_type(*vars);
  MountHelperOptions options;
  options.source = require_word(*vars, line, "source", "the region");
  options.directory = require_word(*vars, line, "directory", "the mount point");
  options.fake = vars->count("fake") != 0;
  options.verbose = vars->count("verbose") != 0;
  options.mount_namespace = text_of(*vars, "namespace");
  options.lists = texts_of(*vars, "options");
  options.mount = parse_mount_options(options.lists, vars->count("sloppy") != 0);
  return options;
}

CommandLine umount_helper_command_line() {
  CommandLine line;
  line.program = "umount.fuse.pmemfs";
  line.synopsis = "DIR [-flnrv] [-N NS] [-t TYPE]";
  line.purpose =
      "The helper behind umount(8): unmounts and waits until the daemon has closed the region.";
  line.options.add_options()("force,f", "abort requests under way")(
      "lazy,l", "detach now, clean up when it is idle")(
      "read-only,r", "when it is busy, make it read-only instead");
  add_common(line);
  line.positional = {{"target", 1}};
  return line;
}

std::optional<UmountHelperOptions> parse_umount_helper_options(int argc, const char* const* argv) {
  const CommandLine line = umount_helper_command_line();
  const auto vars = parse_command_line(line, argc, argv);
  if (!vars) {
    return std::nullopt;
  }
  check_type(*vars);
  UmountHelperOptions options;
  options.target = require_word(*vars, line, "target", "the mount point");
  options.force = vars->count("force") != 0;
  options.lazy = vars->count("lazy") != 0;
  options.read_only = vars->count("read-only") != 0;
  options.verbose = vars->count("verbose") != 0;
  options.mount_namespace = text_of(*vars, "namespace");
  return options;
}

void enter_mount_namespace(const std::string& path_or_pid) {
  if (path_or_pid.empty()) {
    return;
  }
  const std::string path =
      parse_number(path_or_pid) ? "/proc/" + path_or_pid + "/ns/mnt" : path_or_pid;
  const base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd || ::setns(fd.get(), CLONE_NEWNS) != 0) {
    fail(kExitSystem, "-N {}: cannot enter that mount namespace: {}", path_or_pid,
         error_text(errno));
  }
}

}  // namespace pmemfs::tools
