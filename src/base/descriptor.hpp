// Files of which there is a descriptor, and perhaps no name.
#pragma once

#include <sys/stat.h>

#include "base/unique_fd.hpp"
#include "pmemfs/result.hpp"

namespace pmemfs::base {

// A description of its own of the same file, closed on exec. `flags` and errors as open(2).
Result<UniqueFd> open_again(int fd, int flags);

// What the kernel knows of the file: no file system that a user serves is asked. `mask` and errors
// as statx(2).
Result<struct statx> known_of(int fd, unsigned mask);

}  // namespace pmemfs::base
