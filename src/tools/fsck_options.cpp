#include "tools/fsck_options.hpp"

#include <charconv>

#include "tools/failure.hpp"

namespace pmemfs::tools {
namespace {

using Mode = FsckOptions::Mode;

Mode read_mode(const po::variables_map& vars) {
  const bool preen = vars.count("preen") != 0 || vars.count("auto") != 0;
  const bool repair = vars.count("repair") != 0 || vars.count("yes") != 0;
  const bool look = vars.count("no-change") != 0;
  const bool undo = vars.count("apply-undo") != 0;
  if (int{preen} + int{repair} + int{look} + int{undo} > 1) {
    fail(kExitUsage,
         "only one of --no-change, --preen, --repair and --apply-undo can be; see fsck.pmemfs "
         "--help");
  }
  if (preen) {
    return Mode::kPreen;
  }
  if (repair) {
    return Mode::kRepair;
  }
  return undo ? Mode::kUndo : Mode::kLook;
}

int read_fd(const std::string& text) {
  int fd = -1;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, fd);
  if (error != std::errc() || rest != end || fd < 0) {
    fail(kExitUsage, "--progress={}: must be the number of a file descriptor", text);
  }
  return fd;
}

}  // namespace

CommandLine fsck_command_line() {
  CommandLine line;
  line.program = "fsck.pmemfs";
  line.synopsis = "[options] REGION";
  line.purpose =
      "Checks the filesystem in a region that is not mounted. Without --repair nothing is changed.";
  line.options.add_options()("no-change,n", "only look, which is what is done anyway")(
      "preen,p", "as at boot: only look, and not at a region that was unmounted in order")(
      "auto,a", "the same")("repair,r", "put right what is wrong")("yes,y", "the same")(
      "force,f", "with --preen: look at every region")(
      "undo-file", text_value("FILE"), "with --repair: keep what is overwritten in a new file")(
      "apply-undo", text_value("FILE"), "bring the region back to what it was before a repair")(
      "json", "the report as JSON")("progress,C", text_value("FD"),
                                    "tell how far the work is on this file descriptor")(
      "verbose,v", "count what there is");
  line.positional = {{"region", 1}};
  return line;
}

std::optional<FsckOptions> parse_fsck_options(int argc, const char* const* argv) {
  const CommandLine line = fsck_command_line();
  const auto vars = parse_command_line(line, argc, argv);
  if (!vars) {
    return std::nullopt;
  }
  FsckOptions options;
  options.path = require_word(*vars, line, "region", "the path of the region");
  options.mode = read_mode(*vars);
  options.force = vars->count("force") != 0;
  options.json = vars->count("json") != 0;
  options.verbose = vars->count("verbose") != 0;
  options.undo_file = text_of(*vars, options.mode == Mode::kUndo ? "apply-undo" : "undo-file");
  if (vars->count("undo-file") != 0 && options.mode != Mode::kRepair) {
    fail(kExitUsage, "--undo-file goes with --repair; see fsck.pmemfs --help");
  }
  if (vars->count("progress") != 0) {
    options.progress_fd = read_fd(text_of(*vars, "progress"));
  }
  return options;
}

}  // namespace pmemfs::tools
