#include "tools/ctl_options.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "tools/failure.hpp"
#include "tools/size.hpp"

namespace pmemfs::tools {

namespace {

bool known(const std::string& command) {
  constexpr std::array<std::string_view, 11> kCommands = {
      "status", "durable", "counters", "defrag", "compact", "evacuate",
      "grow",   "shrink",  "migrate",  "media",  "scrub"};
  return std::find(kCommands.begin(), kCommands.end(), command) != kCommands.end();
}

// Options that go with one command alone.
void check_option(const po::variables_map& vars, const CtlOptions& options, const char* name,
                  const char* command) {
  if (vars.count(name) != 0 && options.command != command) {
    fail(kExitUsage, "--{} goes with the command {}; see pmemfsctl --help", name, command);
  }
}

std::uint64_t size_of(const po::variables_map& vars, const char* name) {
  const std::string text = text_of(vars, name);
  const auto size = parse_size(text);
  if (!size) {
    fail(kExitUsage, "--{}={}: must be a size such as 64M; see pmemfsctl --help", name, text);
  }
  return *size;
}

void read_range(const po::variables_map& vars, CtlOptions& options) {
  if (vars.count("offset") == 0 || vars.count("length") == 0) {
    fail(kExitUsage, "evacuate wants --offset and --length; see pmemfsctl --help");
  }
  options.offset = size_of(vars, "offset");
  options.length = size_of(vars, "length");
}

// shrink PATH SIZE
void read_new_size(CtlOptions& options) {
  if (options.paths.size() < 2) {
    fail(kExitUsage, "shrink wants a path and a size; see pmemfsctl --help");
  }
  const auto size = parse_size(options.paths[1]);
  if (!size) {
    fail(kExitUsage, "'{}': must be a size such as 64M; see pmemfsctl --help", options.paths[1]);
  }
  options.size = *size;
  options.paths.erase(options.paths.begin() + 1);
}

}  // namespace

CommandLine ctl_command_line() {
  CommandLine line;
  line.program = "pmemfsctl";
  line.synopsis = "COMMAND [options] PATH";
  line.purpose =
      "Looks into a pmemfs filesystem and arranges its data: PATH is a mount point, a file in it,\n"
      "or a region.";
  line.options.add_options()("json", "print JSON instead of text")(
      "reset", "counters: start again from zero after showing them")(
      "region", "defrag: every file of the filesystem that PATH lies in")(
      "offset", text_value("SIZE"), "evacuate: where the range begins in the region")(
      "length", text_value("SIZE"), "evacuate: how long it is")(
      "size", text_value("SIZE"), "grow: the new size of the region; compact: of the free frames")(
      "to", text_value("DIR"), "migrate: the directory on another pmemfs");
  line.positional = {{"command", 1}, {"path", -1}};
  line.epilogue =
      "Commands:\n"
      "  status    what the filesystem is, holds and does\n"
      "  durable   the files and directories marked mmap-durable\n"
      "  counters  FUSE requests since the mount by kind (of a mounted filesystem)\n"
      "  defrag    brings the data of files together, of all below a directory (mounted)\n"
      "  compact   makes --size free in whole frames of 2 MiB, for durable files (mounted, "
      "extents)\n"
      "  evacuate  moves all but durable files' data out of a range (mounted, extents)\n"
      "  grow      makes the filesystem larger, to --size or all of its device (mounted, extents)\n"
      "  shrink    PATH SIZE: empties what lies beyond SIZE and cuts it off (mounted, extents)\n"
      "  media     the memory that cannot be read, and whose it is\n"
      "  scrub     reads everything, says what is damaged, heals bad memory that is free "
      "(mounted)\n"
      "  migrate   moves files and directories to another mounted pmemfs, but durable ones\n"
      "SIZE takes K, M, G or T behind it.\n";
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
  if (!known(options.command)) {
    fail(kExitUsage, "unknown command '{}'; see pmemfsctl --help", options.command);
  }
  require_word(*vars, line, "path", "the path");
  options.paths = texts_of(*vars, "path");
  if (options.command == "shrink") {
    read_new_size(options);
  }
  if (options.paths.size() > 1 && options.command != "defrag" && options.command != "migrate") {
    fail(kExitUsage, "too many arguments; see pmemfsctl --help");
  }
  options.json = vars->count("json") != 0;
  options.reset = vars->count("reset") != 0;
  options.region = vars->count("region") != 0;
  check_option(*vars, options, "reset", "counters");
  check_option(*vars, options, "region", "defrag");
  check_option(*vars, options, "offset", "evacuate");
  check_option(*vars, options, "length", "evacuate");
  if (options.command != "compact") {
    check_option(*vars, options, "size", "grow");
  } else if (vars->count("size") == 0) {
    fail(kExitUsage, "compact wants --size; see pmemfsctl --help");
  }
  check_option(*vars, options, "to", "migrate");
  options.to = text_of(*vars, "to");
  if (vars->count("size") != 0) {
    options.size = size_of(*vars, "size");
  }
  if (options.command == "evacuate") {
    read_range(*vars, options);
  }
  if (options.command == "migrate" && options.to.empty()) {
    fail(kExitUsage, "migrate wants --to=DIR; see pmemfsctl --help");
  }
  return options;
}

}  // namespace pmemfs::tools
