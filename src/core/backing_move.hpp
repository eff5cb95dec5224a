// Moves the data of a file on a directory region to a new host file, which the host lays out anew.
// It asks the gate (gate.hpp).
//
// The file moves under a lease, and whoever needs it meanwhile comes first: the copying holds no
// lock, so that the file is looked at, opened and written as ever, and an opening of the host file
// ends the lease and with it the move. The new host file and its name are synced before one
// transaction makes it the inode's; the old one goes after that. So a power cut leaves the old file
// or the new one, with the same bytes, and perhaps the other as an orphan.
//
// Kept: bytes, holes, what is allocated within the size, mtime and atime, the inode number and the
// generation by which the kernel and NFS know the file. Not kept: what is allocated beyond the end,
// and the host's ctime, which is that of the new file.
#pragma once

#include <cstdint>
#include <functional>

#include "core/context.hpp"

namespace pmemfs::core {

// How the host laid a file out. `breaks`: places where bytes that follow each other in the file do
// not on the device; holes make none.
struct HostLayout {
  bool durable = false;
  std::uint64_t bytes = 0;  // allocated within the size
  std::uint64_t breaks = 0;
};

// Of a regular file; nothing at all when it has no host file. ENOENT, EISDIR, EINVAL (no regular
// file), EBUSY (it is moving), EOPNOTSUPP (the host does not tell). No locks held.
Result<HostLayout> host_layout(Context& c, InodeNo ino);

// Moves the file, if the host has room where it has fewer breaks. Returns the bytes that moved, 0
// when it is as good where it is. `go_on` hears now and then how many were copied; false:
// ECANCELED. Errors: ETXTBSY, EBUSY from the gate, EOPNOTSUPP as host_layout, ENOSPC, what the host
// says; nothing moved then. No locks held.
Result<std::uint64_t> move_backing(Context& c, InodeNo ino,
                                   const std::function<bool(std::uint64_t copied)>& go_on);

}  // namespace pmemfs::core
