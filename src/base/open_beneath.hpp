#pragma once

#include <sys/types.h>

#include "base/unique_fd.hpp"
#include "pmemfs/result.hpp"

namespace pmemfs::base {

// openat2 of `name` in `folder` without being led out of it: no "..", no symbolic links, no other
// mount, and never waiting for what is not a regular file. `flags` and `mode` as openat(2) has
// them; the descriptor is closed on exec. Tries again after a signal. Thread-safe.
//
// Errors are those of openat2(2): ELOOP for a symbolic link (ENOTDIR where O_DIRECTORY asks for
// more), EXDEV for what lies on another mount or outside of `folder`, EAGAIN for a lease of another
// descriptor.
Result<UniqueFd> open_beneath(int folder, const char* name, int flags, mode_t mode = 0);

}  // namespace pmemfs::base
