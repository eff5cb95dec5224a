#include "fuse/kernel_mount.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

#include "base/log.hpp"

namespace pmemfs::fuse {
namespace {

struct FlagWord {
  std::string_view word;
  unsigned long set;
  unsigned long clear;
};

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

constexpr FlagWord kFlagWords[] = {
    {"ro", MS_RDONLY, 0},
    {"rw", 0, MS_RDONLY},
    {"nosuid", MS_NOSUID, 0},
    {"suid", 0, MS_NOSUID},
    {"nodev", MS_NODEV, 0},
    {"dev", 0, MS_NODEV},
    {"noexec", MS_NOEXEC, 0},
    {"exec", 0, MS_NOEXEC},
    {"sync", MS_SYNCHRONOUS, 0},
    {"async", 0, MS_SYNCHRONOUS},
    {"dirsync", MS_DIRSYNC, 0},
    {"noatime", MS_NOATIME, MS_STRICTATIME | MS_RELATIME},
    {"atime", 0, MS_NOATIME},
    {"nodiratime", MS_NODIRATIME, 0},
    {"diratime", 0, MS_NODIRATIME},
    {"relatime", MS_RELATIME, MS_NOATIME | MS_STRICTATIME},
    {"norelatime", 0, MS_RELATIME},
    {"strictatime", MS_STRICTATIME, MS_NOATIME | MS_RELATIME},
    {"nostrictatime", 0, MS_STRICTATIME},
    {"lazytime", MS_LAZYTIME, 0},
    {"nolazytime", 0, MS_LAZYTIME},
    {"nosymfollow", MS_NOSYMFOLLOW, 0},
    {"symfollow", 0, MS_NOSYMFOLLOW},
    {"silent", MS_SILENT, 0},
    {"loud", 0, MS_SILENT},
};

const FlagWord* find_flag(std::string_view word) {
  for (const FlagWord& flag : kFlagWords) {
    if (flag.word == word) {
      return &flag;
    }
  }
  return nullptr;
}

// Meant for mount(8) and fstab, or always on here.
bool is_not_for_kernel(std::string_view word) {
  constexpr std::array<std::string_view, 13> kWords = {
      "",      "defaults", "auto",  "noauto", "user",    "nouser",
      "users", "owner",    "group", "nofail", "_netdev", "default_permissions",
      "mand"};
  for (const std::string_view known : kWords) {
    if (word == known) {
      return true;
    }
  }
  return word.starts_with("x-") || word.starts_with("X-") || word.starts_with("comment=") ||
         word.starts_with("user=") || word.starts_with("uhelper=") || word.starts_with("helper=");
}

std::string mount_failure(const std::string& mountpoint, int error) {
  switch (error) {
    case ENOENT:
      return "the mount point " + mountpoint + " does not exist";
    case ENOTDIR:
      return "the mount point " + mountpoint + " is not a directory";
    case EPERM:
    case EACCES:
      return "no permission to mount on " + mountpoint + ": run it as root";
    case EINVAL:
      return "the kernel refuses to mount on " + mountpoint +
             ": an option it does not know, see dmesg";
    case ENODEV:
      return "this kernel has no FUSE: load it with modprobe fuse";
    default:
      return "cannot mount on " + mountpoint + ": " + std::strerror(error);
  }
}

// Asks for no attributes: the daemon cannot answer while it mounts.
std::uint64_t mount_id_of(const std::string& path) {
  struct statx st {};
  if (::statx(AT_FDCWD, path.c_str(), AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_MNT_ID, &st) !=
          0 ||
      (st.stx_mask & STATX_MNT_ID) == 0) {
    return 0;
  }
  return st.stx_mnt_id;
}

Status check_mountpoint(const std::string& mountpoint, std::string* path) {
  const std::unique_ptr<char, void (*)(void*)> real(::realpath(mountpoint.c_str(), nullptr),
                                                    &std::free);
  if (!real) {
    return Error(errno);
  }
  struct stat st {};
  if (::stat(real.get(), &st) != 0) {
    return Error(errno);
  }
  if (!S_ISDIR(st.st_mode)) {
    return Error(ENOTDIR);
  }
  *path = real.get();
  return {};
}

}  // namespace

MountArguments mount_arguments(const std::vector<std::string>& words, bool read_only) {
  MountArguments arguments;
  // The core leaves permission checks on names and modes to the kernel: never without.
  arguments.data = ",default_permissions";
  for (const std::string& word : words) {
    if (const FlagWord* flag = find_flag(word)) {
      arguments.flags = (arguments.flags & ~flag->clear) | flag->set;
    } else if (!is_not_for_kernel(word)) {
      arguments.data += "," + word;
    }
  }
  if (read_only) {
    arguments.flags |= MS_RDONLY;
  }
  return arguments;
}

Status KernelMount::mount(int device, const std::string& source, const std::string& mountpoint,
                          const MountArguments& arguments, std::string* why) {
  std::string path;
  if (auto checked = check_mountpoint(mountpoint, &path); !checked) {
    *why = mount_failure(mountpoint, checked.code());
    return checked.error();
  }
  const std::string data = "fd=" + std::to_string(device) +
                           ",rootmode=40000,user_id=" + std::to_string(::getuid()) +
                           ",group_id=" + std::to_string(::getgid()) + arguments.data;
  if (::mount(source.c_str(), path.c_str(), "fuse.pmemfs", arguments.flags, data.c_str()) != 0) {
    const int error = errno;
    *why = mount_failure(mountpoint, error);
    return Error(error);
  }
  path_ = path;
  mount_id_ = mount_id_of(path_);
  return {};
}

bool KernelMount::unmount(int device) {
  if (path_.empty()) {
    return false;
  }
  const std::string path = std::move(path_);
  path_.clear();
  pollfd state{device, POLLIN, 0};
  if (::poll(&state, 1, 0) > 0 && (state.revents & POLLERR) != 0) {
    return false;  // unmounted already
  }
  if (mount_id_ != 0 && mount_id_of(path) != mount_id_) {
    return true;  // detached by somebody, or covered: what lies there now is not ours to unmount
  }
  if (::umount2(path.c_str(), UMOUNT_NOFOLLOW) == 0) {
    return false;
  }
  if (::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
    base::log::warn("{} is in use: detached, open files are cut off, mappings live on", path);
  } else {
    base::log::warn("cannot unmount {}: {}", path, std::strerror(errno));
  }
  return true;
}

}  // namespace pmemfs::fuse
