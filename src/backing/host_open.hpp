#pragma once

#include <sys/types.h>

#include "base/unique_fd.hpp"
#include "pmemfs/result.hpp"

// Opening host files without being led elsewhere; private to this layer. Thread-safe.
namespace pmemfs::backing {

// base::open_beneath of one name in `directory`. What such a name must not be is EUCLEAN; a lease
// of another descriptor is EBUSY.
Result<base::UniqueFd> open_beneath(int directory, const char* name, int flags, mode_t mode = 0);

// EUCLEAN unless it is a regular file of this process's user, mode 0600, with one link.
Status check_private_file(int fd);

// EUCLEAN unless it belongs to this process's user and nobody else has rights to it.
Status check_private_directory(int fd);

// Whether a file with these attributes may be a backing file.
[[nodiscard]] bool is_private_file(mode_t mode, uid_t uid, nlink_t links);

}  // namespace pmemfs::backing
