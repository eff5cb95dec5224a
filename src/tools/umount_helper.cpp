// umount.fuse.pmemfs: what umount(8) runs for the type fuse.pmemfs.
#include <sys/mount.h>

#include <cerrno>
#include <chrono>

#include "tools/failure.hpp"
#include "tools/helper_options.hpp"
#include "tools/live_daemon.hpp"
#include "tools/mount_point.hpp"
#include "tools/mount_table.hpp"

namespace pmemfs::tools {
namespace {

constexpr const char* kProgram = "umount.fuse.pmemfs";
constexpr std::chrono::seconds kGrace{2};             // for the daemon to notice
constexpr std::chrono::milliseconds kLazyGrace{400};  // the same when it may well go on

MountEntry find_target(const std::string& target) {
  const auto canonical = canonical_path(target);
  std::optional<MountEntry> entry;
  if (canonical) {
    entry = find_mount_point(*canonical);
    if (!entry || entry->type != kFilesystemType) {
      entry = find_mounted_region(*canonical);
    }
  }
  if (!entry) {
    fail(kExitFailure, "{}: no pmemfs is mounted there", target);
  }
  return *entry;
}

int detach_dead(const MountEntry& entry) {
  if (::umount2(entry.mount_point.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0) {
    fail(errno == EPERM ? kExitUsage : kExitFailure, "{}: cannot detach the dead mount: {}",
         entry.mount_point, error_text(errno));
  }
  complain(kProgram, entry.mount_point + ": a dead mount, whose daemon is gone, was detached");
  return kExitOk;
}

void make_read_only(const MountEntry& entry) {
  const unsigned long flags = flags_of(entry) | MS_REMOUNT | MS_RDONLY;
  if (::mount(entry.source.c_str(), entry.mount_point.c_str(), entry.type.c_str(), flags,
              nullptr) != 0) {
    fail(kExitFailure, "{}: busy, and cannot be made read-only: {}", entry.mount_point,
         error_text(errno));
  }
  complain(kProgram, entry.mount_point + ": busy, made read-only instead");
}

// False when it was made read-only instead.
bool unmount(const UmountHelperOptions& options, const MountEntry& entry) {
  const int flags =
      UMOUNT_NOFOLLOW | (options.force ? MNT_FORCE : 0) | (options.lazy ? MNT_DETACH : 0);
  if (::umount2(entry.mount_point.c_str(), flags) == 0) {
    return true;
  }
  const int code = errno;
  if (code == EBUSY && options.read_only) {
    make_read_only(entry);
    return false;
  }
  if (code == EBUSY) {
    fail(kExitFailure, "{0}: target is busy; fuser -vm {0} shows by whom", entry.mount_point);
  }
  if (code == EPERM) {
    fail(kExitUsage, "{}: must be root to unmount", entry.mount_point);
  }
  fail(kExitFailure, "{}: {}", entry.mount_point, error_text(code));
}

int unmount_and_wait(const UmountHelperOptions& options) {
  enter_mount_namespace(options.mount_namespace);
  const MountEntry entry = find_target(options.target);
  if (is_dead_mount(entry.mount_point)) {
    return detach_dead(entry);
  }
  const DaemonWatch daemon(entry.source);
  if (!unmount(options, entry)) {
    return kExitOk;
  }
  if (options.verbose) {
    complain(kProgram, entry.mount_point + " unmounted");
  }
  if (device_is_mounted(entry.device)) {
    return kExitOk;  // bound to another place: the daemon goes on
  }
  const bool ended = daemon.wait_for_end(options.lazy ? kLazyGrace : kGrace);
  if (!ended && options.verbose) {
    complain(kProgram, entry.source + ": still in use, its daemon goes on");
  }
  return kExitOk;
}

}  // namespace
}  // namespace pmemfs::tools

int main(int argc, char** argv) {
  namespace tools = pmemfs::tools;
  return tools::run_program(tools::kProgram, [&] {
    const auto options = tools::parse_umount_helper_options(argc, argv);
    return options ? tools::unmount_and_wait(*options) : tools::kExitOk;
  });
}
