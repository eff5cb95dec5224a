#pragma once

#include <string>

// The place where a filesystem is to be mounted, and what mounting needs.
namespace pmemfs::tools {

struct MountPoint {
  std::string path;                  // canonical
  bool dead_mount_detached = false;  // a pmemfs whose daemon had died was in the way
};

// Checks that it is a directory, after detaching a dead mount of ours. Throws Failure.
MountPoint prepare_mount_point(const std::string& path);

// True when a pmemfs is mounted at the canonical path and its daemon is gone.
bool is_dead_mount(const std::string& path);

// Throws Failure unless this process may mount and /dev/fuse can be opened.
void require_mount_privilege();
void require_fuse_device();

}  // namespace pmemfs::tools
