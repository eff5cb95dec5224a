#pragma once

#include "pmemfs/format.hpp"
#include "pmemfs/result.hpp"

// What mkfs puts into the `data` directory of a directory region before files exist there.
// `data_fd` is that directory, opened for reading and checked by the region layer. Not thread-safe
// against each other.
namespace pmemfs::backing {

// Text file beside the 256 directories: the UUID of the region that the files belong to, and a
// newline.
inline constexpr const char* kOwnerName = "uuid";

// Makes the 256 directories, 0700, for files with DAX (base/file_flags.hpp), and syncs. Those that
// exist stay. EUCLEAN if something else has such a name.
Status make_layout(int data_fd);

// Says durably which region the files belong to.
Status write_owner(int data_fd, const format::Uuid& uuid);

// ENOENT when nothing says so, EUCLEAN when it cannot be read as a UUID.
Result<format::Uuid> read_owner(int data_fd);

}  // namespace pmemfs::backing
