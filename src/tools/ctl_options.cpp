#include "tools/ctl_options.hpp"

#include "tools/failure.hpp"

namespace pmemfs::tools {

CommandLine ctl_command_line() {
  CommandLine line;
  line.program = "pmemfsctl";
  line.synopsis = "COMMAND [options] PATH";
  line.purpose =
      "Looks into a pmemfs filesystem: PATH is a mount point, a file in it, or a region.";
  line.options.add_options()("json", "print JSON instead of text")(
      "reset", "counters: start again from zero after showing them");
  line.positional = {{"command", 1}, {"path", 1}};
  line.epilogue =
      "Commands:\n"
      "  status    what the filesystem is, holds and does\n"
      "  durable   the files and directories marked mmap-durable\n"
      "  counters  FUSE requests since the mount by kind (of a mounted filesystem)\n";
  return line;
}

std::optional<CtlOptions> parse_ctl_options(int argc, const char* const* argv) {
  const CommandLine line = ctl_command_line();
  const auto vars = parse_command_line(line, argc, argv);
  if (!vars) {
    return std::nullopt;
  }
  CtlOptions options;
  options.command = require_word(*vars, line, "command", "the command");
  if (options.command != "status" && options.command != "durable" &&
      options.command != "counters") {
    fail(kExitUsage, "unknown command '{}'; see pmemfsctl --help", options.command);
  }
  options.path = require_word(*vars, line, "path", "the path");
  options.json = vars->count("json") != 0;
  options.reset = vars->count("reset") != 0;
  if (options.reset && options.command != "counters") {
    fail(kExitUsage, "--reset goes with the command counters; see pmemfsctl --help");
  }
  return options;
}

}  // namespace pmemfs::tools
