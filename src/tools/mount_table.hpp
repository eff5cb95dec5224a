#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// What /proc/self/mountinfo says of mounted pmemfs filesystems. Thread-safe.
namespace pmemfs::tools {

inline constexpr std::string_view kFilesystemType = "fuse.pmemfs";

struct MountEntry {
  std::uint64_t id = 0;  // as statx(2) tells it
  dev_t device = 0;
  std::string mount_point;
  std::string type;
  std::string source;         // of ours: the region
  std::string options;        // of the mount point: "rw,nosuid,…"
  std::string super_options;  // of the filesystem: "rw,sync,user_id=0,…"
};

// Parses the text of mountinfo; lines that are not understood are left out.
std::vector<MountEntry> parse_mount_table(std::string_view text);

// All mounts of this process's namespace, in the order of mounting.
std::vector<MountEntry> read_mount_table();

// The topmost mount on exactly this (canonical) directory, of any type.
std::optional<MountEntry> find_mount_point(const std::string& directory);

// A mount of the region at this canonical path.
std::optional<MountEntry> find_mounted_region(const std::string& region);

// The pmemfs mount that a path lies in: without asking its daemon where the kernel knows, by its
// name when that is dead.
std::optional<MountEntry> find_mount_of(const std::string& path);

// A mount, of any type, of the filesystem that an open file lies on.
std::optional<MountEntry> find_mount_holding(int fd);

// True while some mount with this device is in the table.
bool device_is_mounted(dev_t device);

// realpath(3), but the last part is not asked of the filesystem mounted there, which may be dead.
// Nothing when a folder on the way does not exist.
std::optional<std::string> canonical_path(const std::string& path);

// The MS_* flags that the options of an entry stand for.
unsigned long flags_of(const MountEntry& entry);

}  // namespace pmemfs::tools
