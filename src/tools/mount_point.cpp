#include "tools/mount_point.hpp"

#include <fcntl.h>
#include <sys/capability.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>

#include "base/unique_fd.hpp"
#include "tools/failure.hpp"
#include "tools/mount_table.hpp"

namespace pmemfs::tools {
namespace {

constexpr const char* kDevice = "/dev/fuse";

bool has_capability(cap_value_t capability) {
  const std::unique_ptr<std::remove_pointer_t<cap_t>, int (*)(void*)> set(::cap_get_proc(),
                                                                          &::cap_free);
  cap_flag_value_t value = CAP_CLEAR;
  return set && ::cap_get_flag(set.get(), capability, CAP_EFFECTIVE, &value) == 0 &&
         value == CAP_SET;
}

}  // namespace

bool is_dead_mount(const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) == 0 || errno != ENOTCONN) {
    return false;
  }
  const auto entry = find_mount_point(path);
  return entry && entry->type == kFilesystemType;
}

MountPoint prepare_mount_point(const std::string& path) {
  const auto canonical = canonical_path(path);
  if (!canonical) {
    fail(kExitFailure, "{0}: mount point does not exist; make it with mkdir -p {0}", path);
  }
  MountPoint place{*canonical, false};
  while (is_dead_mount(place.path)) {
    if (::umount2(place.path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0) {
      fail(kExitFailure, "{0}: a dead mount is in the way: {1}; umount -l {0}", path,
           error_text(errno));
    }
    place.dead_mount_detached = true;
  }
  struct stat st {};
  if (::stat(place.path.c_str(), &st) != 0) {
    const int code = errno;
    if (code == ENOENT) {
      fail(kExitFailure, "{0}: mount point does not exist; make it with mkdir -p {0}", path);
    }
    fail(kExitFailure, "{}: mount point cannot be used: {}", path, error_text(code));
  }
  if (!S_ISDIR(st.st_mode)) {
    fail(kExitFailure, "{}: mount point is not a directory; name a directory", path);
  }
  return place;
}

void require_mount_privilege() {
  if (!has_capability(CAP_SYS_ADMIN)) {
    fail(kExitUsage, "mounting needs root (CAP_SYS_ADMIN); run it as root");
  }
}

void require_fuse_device() {
  const base::UniqueFd device(::open(kDevice, O_RDWR | O_CLOEXEC));
  if (device) {
    return;
  }
  const int code = errno;
  if (code == ENOENT || code == ENODEV || code == ENXIO) {
    fail(kExitFailure, "{}: {}; load FUSE with modprobe fuse, or give the container that device",
         kDevice, error_text(code));
  }
  fail(kExitFailure, "{}: {}; let this process open the device", kDevice, error_text(code));
}

}  // namespace pmemfs::tools
