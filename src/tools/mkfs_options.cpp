#include "tools/mkfs_options.hpp"

#include "tools/accounts.hpp"
#include "tools/failure.hpp"
#include "tools/size.hpp"
#include "tools/uuid.hpp"

namespace pmemfs::tools {
namespace {

void read_size(MkfsOptions& options, const std::string& text) {
  const auto size = parse_size(text);
  if (!size || *size == 0) {
    fail(kExitUsage, "--size={}: must be a size such as 64M or 10G", text);
  }
  options.size = *size;
}

void read_label(MkfsOptions& options, const std::string& text) {
  constexpr std::size_t kMaxLabel = sizeof(format::Superblock::label) - 1;
  if (text.size() > kMaxLabel || text.find('\0') != std::string::npos) {
    fail(kExitUsage, "--label: at most {} bytes fit, this one has {}", kMaxLabel, text.size());
  }
  options.label = text;
}

void read_uuid(MkfsOptions& options, const std::string& text) {
  const auto uuid = parse_uuid(text);
  if (!uuid || *uuid == format::Uuid{}) {
    fail(kExitUsage, "--uuid={}: must look like 01234567-89ab-cdef-0123-456789abcdef", text);
  }
  options.uuid = *uuid;
}

void read_owner(MkfsOptions& options, const std::string& text) {
  const std::size_t colon = text.find(':');
  const auto uid = find_user(text.substr(0, colon));
  const auto gid = colon == std::string::npos ? std::nullopt : find_group(text.substr(colon + 1));
  if (!uid || !gid) {
    fail(kExitUsage, "--root-owner={}: must be USER:GROUP, names or numbers that exist", text);
  }
  options.root_uid = *uid;
  options.root_gid = *gid;
}

void read_mode(MkfsOptions& options, const std::string& text) {
  const auto mode = parse_mode(text);
  if (!mode) {
    fail(kExitUsage, "--root-mode={}: must be an octal mode such as 0755", text);
  }
  options.root_mode = *mode;
}

}  // namespace

CommandLine mkfs_command_line() {
  CommandLine line;
  line.program = "mkfs.pmemfs";
  line.synopsis = "[options] PATH";
  line.purpose =
      "Makes a pmemfs filesystem: in an empty or new directory, or, for one that keeps file data\n"
      "inside, on a DAX device, in an existing regular file or a new one of --size bytes.";
  line.options.add_options()("emulate", "take memory that is not persistent; recorded and said")(
      "force,f", "overwrite a filesystem or data that is there")(
      "size", text_value("SIZE"),
      "size of a new file, of a directory region's metadata (16M), at most of a device")(
      "label,L", text_value("LABEL"), "a name, at most 63 bytes")("uuid,U", text_value("UUID"),
                                                                  "instead of a random one")(
      "root-owner", text_value("USER:GROUP"), "owner of the root directory (0:0)")(
      "root-mode", text_value("MODE"), "permissions of the root directory (0755)")(
      "quiet,q", "print nothing but errors");
  line.positional = {{"path", 1}};
  line.epilogue = "SIZE takes K, M, G or T behind it.\n";
  return line;
}

std::optional<MkfsOptions> parse_mkfs_options(int argc, const char* const* argv) {
  const CommandLine line = mkfs_command_line();
  const auto vars = parse_command_line(line, argc, argv);
  if (!vars) {
    return std::nullopt;
  }
  MkfsOptions options;
  options.path = require_word(*vars, line, "path", "the path of the region");
  options.emulate = vars->count("emulate") != 0;
  options.force = vars->count("force") != 0;
  options.quiet = vars->count("quiet") != 0;
  using Reader = void (*)(MkfsOptions&, const std::string&);
  const std::pair<const char*, Reader> readers[] = {{"size", read_size},
                                                    {"label", read_label},
                                                    {"uuid", read_uuid},
                                                    {"root-owner", read_owner},
                                                    {"root-mode", read_mode}};
  for (const auto& [name, read] : readers) {
    if (vars->count(name) != 0) {
      read(options, text_of(*vars, name));
    }
  }
  return options;
}

}  // namespace pmemfs::tools
