#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// Everything that may stand behind -o: one table for the daemon, the mount helper, --help and the
// tests. See kTable in mount_options.cpp.
namespace pmemfs::tools {

// A bound as a number of bytes or as a share of the whole.
struct DurableMax {
  std::uint64_t bytes = UINT64_MAX;
  std::optional<unsigned> percent;

  [[nodiscard]] std::uint64_t of(std::uint64_t capacity) const;
};

struct MountOptions {
  // Flags of mount(2), MS_*: those named and those named in the negative; the last word wins.
  unsigned long set_flags = 0;
  unsigned long clear_flags = 0;
  bool remount = false;
  bool sloppy = false;  // unknown options are tolerated
  // Words for the kernel in their order: flags and "context=…". Permission checks by the kernel and
  // access for all users are always on.
  std::vector<std::string> kernel;

  // Our own.
  std::vector<std::uint32_t> durable_uids;
  std::vector<std::uint32_t> durable_gids;
  bool durable_all = false;
  DurableMax durable_max;
  bool durable_fast_io = false;
  bool passthrough = true;
  unsigned threads = 0;                     // upper limit; 0: the edge chooses
  std::uint64_t index_memory = 64U << 20U;  // bytes for the indexes of directories
  unsigned idle_backing = 10;               // seconds that an idle file stays registered
  unsigned spin = 100;                      // longest busy wait for the next request, microseconds

  std::vector<std::string> own;      // our own options as they were given
  std::vector<std::string> unknown;  // tolerated ones; only with sloppy

  [[nodiscard]] bool read_only() const;
  // Flags of a new mount: set_flags without clear_flags.
  [[nodiscard]] unsigned long flags() const;
};

// Splits at commas outside double quotes; "\," and "\\" stand for the character.
std::vector<std::string> split_options(std::string_view text);
// The reverse.
std::string join_options(std::span<const std::string> options);

// Parses the lists (one for each -o, in order). Throws Failure(kExitUsage) naming the option that
// is unknown or malformed. `sloppy`: mount's -s.
MountOptions parse_mount_options(std::span<const std::string> lists, bool sloppy);

// The options of the lists without those that mean nothing to the daemon, for passing on.
std::vector<std::string> options_for_daemon(std::span<const std::string> lists);

// Text for --help: one line for each of our own options.
std::string describe_own_options();

// Names for the tests: every name of the table that is ours.
std::vector<std::string> own_option_names();

}  // namespace pmemfs::tools
