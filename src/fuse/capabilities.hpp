#pragma once

#include "fuse/libfuse.hpp"

namespace pmemfs::fuse {

struct Wanted {
  bool passthrough = true;
  bool region_is_stacked = false;
  bool compare = false;   // View::compare
  bool by_handle = true;  // inodes may be asked for that the kernel does not hold: NFS
};

// What the kernel has of what was asked for, as far as the edge behaves differently without.
struct Granted {
  bool answered = false;  // INIT came
  bool passthrough = false;
  bool setxattr_ext = false;
  bool killpriv_v2 = false;
};

// Answers the kernel's INIT: what is asked for, and why the rest is not.
Granted negotiate(fuse_conn_info& connection, const Wanted& wanted);

}  // namespace pmemfs::fuse
