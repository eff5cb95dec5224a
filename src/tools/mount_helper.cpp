// mount.fuse.pmemfs: what mount(8) runs for the type fuse.pmemfs.
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <sstream>

#include "tools/failure.hpp"
#include "tools/helper_options.hpp"
#include "tools/live_daemon.hpp"
#include "tools/mount_table.hpp"

namespace pmemfs::tools {
namespace {

constexpr const char* kProgram = "mount.fuse.pmemfs";
constexpr const char* kDaemon = "pmemfs";

std::string own_folder() {
  std::array<char, PATH_MAX> path{};
  const ssize_t n = ::readlink("/proc/self/exe", path.data(), path.size());
  const std::string text(path.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
  return text.substr(0, text.rfind('/'));
}

// Beside this program, in the bin of its prefix, where it was installed, on PATH.
std::string find_daemon() {
  const std::string here = own_folder();
  std::vector<std::string> folders = {here, here + "/../bin", PMEMFS_BIN_DIR};
  const char* const search = std::getenv("PATH");
  std::istringstream words(search == nullptr ? "" : search);
  for (std::string folder; std::getline(words, folder, ':');) {
    if (folder.starts_with('/')) {
      folders.push_back(folder);
    }
  }
  for (const std::string& folder : folders) {
    std::string path = folder + "/" + kDaemon;
    if (::access(path.c_str(), X_OK) == 0) {
      return path;
    }
  }
  fail(kExitSystem, "the daemon {} was found neither in {} nor in {} nor on PATH; install it",
       kDaemon, here, PMEMFS_BIN_DIR);
}

[[noreturn]] void start_daemon(const MountHelperOptions& options) {
  const std::string daemon = find_daemon();
  std::vector<std::string> words = {kDaemon};
  if (options.verbose) {
    words.emplace_back("-v");
  }
  const std::string list = join_options(options_for_daemon(options.lists));
  if (!list.empty()) {
    words.emplace_back("-o");
    words.push_back(list);
  }
  words.emplace_back("--");
  words.push_back(options.source);
  words.push_back(options.directory);
  std::vector<char*> argv;
  std::transform(words.begin(), words.end(), std::back_inserter(argv),
                 [](std::string& word) { return word.data(); });
  argv.push_back(nullptr);
  ::execv(daemon.c_str(), argv.data());
  fail(kExitSystem, "{}: cannot be run: {}", daemon, error_text(errno));
}

// The daemon's own options cannot change while it runs; those that mount(8) repeats are no change.
void check_remount(const MountHelperOptions& options, const MountEntry& entry) {
  const auto state = ask_state(entry.source);
  const std::vector<std::string> current = state ? state->options : std::vector<std::string>();
  for (const std::string& option : options.mount.own) {
    if (std::find(current.begin(), current.end(), option) == current.end()) {
      fail(kExitUsage, "option '{}' cannot be changed by remount; unmount and mount again", option);
    }
  }
  const bool to_write = (options.mount.clear_flags & MS_RDONLY) != 0;
  if (to_write && state && state->read_only) {
    fail(kExitFailure,
         "{}: was mounted read-only, its daemon cannot write; unmount and mount it again",
         options.directory);
  }
}

int remount(const MountHelperOptions& options) {
  const auto directory = canonical_path(options.directory);
  const auto entry = directory ? find_mount_point(*directory) : std::nullopt;
  if (!entry || entry->type != kFilesystemType) {
    fail(kExitFailure, "{}: no pmemfs is mounted there; leave out remount to mount one",
         options.directory);
  }
  check_remount(options, *entry);
  const unsigned long flags =
      (flags_of(*entry) & ~options.mount.clear_flags) | options.mount.set_flags | MS_REMOUNT;
  if (::mount(entry->source.c_str(), directory->c_str(), entry->type.c_str(), flags, nullptr) !=
      0) {
    const int code = errno;
    fail(code == EPERM ? kExitUsage : kExitFailure, "{}: cannot remount: {}{}", options.directory,
         error_text(code), code == EBUSY ? "; files are open for writing" : "");
  }
  return kExitOk;
}

int mount_as_told(const MountHelperOptions& options) {
  enter_mount_namespace(options.mount_namespace);
  if (options.fake) {
    return kExitOk;
  }
  if (options.mount.remount) {
    return remount(options);
  }
  start_daemon(options);
}

}  // namespace
}  // namespace pmemfs::tools

int main(int argc, char** argv) {
  namespace tools = pmemfs::tools;
  return tools::run_program(tools::kProgram, [&] {
    const auto options = tools::parse_mount_helper_options(argc, argv);
    return options ? tools::mount_as_told(*options) : tools::kExitOk;
  });
}
