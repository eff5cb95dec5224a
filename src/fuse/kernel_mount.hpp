// mount(2) and umount(2) of a FUSE connection. libfuse's own mounting is not used: it forces nosuid
// and nodev on what it mounts and has its own idea of which options exist.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pmemfs/result.hpp"

namespace pmemfs::fuse {

// Arguments of mount(2) made of -o words.
struct MountArguments {
  unsigned long flags = 0;  // MS_*
  std::string data;         // what follows fd=, rootmode= and the owner: ",default_permissions,…"
};

// Later words win, as with mount(8). Words that concern only mount(8) and fstab are left out; what
// is neither these nor a flag goes to the kernel, which knows best.
[[nodiscard]] MountArguments mount_arguments(const std::vector<std::string>& words, bool read_only);

// A mount made by this process. Not thread-safe.
class KernelMount {
 public:
  KernelMount() = default;

  // Mounts the connection of `device`. On failure *why is one line for the user.
  Status mount(int device, const std::string& source, const std::string& mountpoint,
               const MountArguments& arguments, std::string* why);

  // Takes the mount away if it is still there and still ours: at once when nobody uses it, else
  // detached (lazily). The connection must be served meanwhile, since the kernel may have data to
  // write. True when it ended in the detached state, with users left.
  bool unmount(int device);

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;            // absolute; empty: not mounted
  std::uint64_t mount_id_ = 0;  // 0: the kernel does not tell
};

}  // namespace pmemfs::fuse
