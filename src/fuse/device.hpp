// The FUSE device: opening, cloning, and the ioctls of passthrough that older kernel headers lack.
#pragma once

#include "base/unique_fd.hpp"
#include "pmemfs/result.hpp"

namespace pmemfs::fuse {

// /dev/fuse, not yet mounted.
Result<base::UniqueFd> open_device();

// A second descriptor of the connection of `fd`, with a queue of answers of its own: a request read
// from it must be answered through it. The connection must have been mounted.
Result<base::UniqueFd> clone_device(int fd);

Status set_nonblocking(int fd);

// Registers a backing file with the kernel, which keeps it open on its own account; returns the id
// (> 0). EPERM without CAP_SYS_ADMIN, EOPNOTSUPP when passthrough was not granted or the file is
// not a regular one, ELOOP when the filesystem below is itself stacked.
Result<int> register_backing(int device, int backing_fd);
void unregister_backing(int device, int id);

// Whether registration works at all here, tried with an anonymous file.
Status probe_backing(int device);

}  // namespace pmemfs::fuse
