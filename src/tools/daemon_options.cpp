#include "tools/daemon_options.hpp"

#include "tools/failure.hpp"

namespace pmemfs::tools {

CommandLine daemon_command_line() {
  CommandLine line;
  line.program = "pmemfs";
  line.synopsis = "[options] REGION [MOUNTPOINT]";
  line.purpose =
      "Serves the pmemfs filesystem of REGION: mounted on MOUNTPOINT, to virtual machines, or "
      "both.";
  line.options.add_options()("foreground,f", "stay in the foreground and log to stderr")(
      "debug,d", "as --foreground, with every request in the log")(
      "verbose,v", "say on stderr what a mount otherwise only logs")(
      "sloppy,s", "tolerate unknown mount options")("options,o", texts_value("LIST"),
                                                    "mount options, separated by commas")(
      "virtiofs", texts_value("SOCKET,tag=NAME,…"),
      "serve a virtual machine at this socket; may be repeated");
  line.positional = {{"region", 1}, {"mountpoint", 1}};
  line.epilogue = describe_own_options() + "\n" + describe_guest_options();
  return line;
}

std::optional<DaemonOptions> parse_daemon_options(int argc, const char* const* argv) {
  const CommandLine line = daemon_command_line();
  const auto vars = parse_command_line(line, argc, argv);
  if (!vars) {
    return std::nullopt;
  }
  DaemonOptions options;
  options.region = require_word(*vars, line, "region", "the region");
  options.guests = parse_guest_options(texts_of(*vars, "virtiofs"));
  if (options.guests.empty() || vars->count("mountpoint") != 0) {
    options.mount_point = require_word(*vars, line, "mountpoint",
                                       "the mount point, or --virtiofs for virtual machines,");
  }
  options.debug = vars->count("debug") != 0;
  options.foreground = options.debug || vars->count("foreground") != 0;
  options.verbose = vars->count("verbose") != 0;
  options.mount = parse_mount_options(texts_of(*vars, "options"), vars->count("sloppy") != 0);
  if (options.mount.remount) {
    fail(kExitUsage, "option 'remount': use mount(8), which changes a mounted filesystem");
  }
  return options;
}

}  // namespace pmemfs::tools
