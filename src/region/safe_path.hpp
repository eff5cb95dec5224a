#pragma once

#include <fcntl.h>

#include <string>

#include "base/unique_fd.hpp"
#include "pmemfs/result.hpp"

// Opening what belongs to a region in places where nobody else can have a hand in it.
// All functions are thread-safe; `why` is set when they fail (see reason.hpp).
namespace pmemfs::region {

// The folder that holds `path`, opened, and the last part of `path`. Symbolic links on the way are
// followed: what is checked afterwards is where they led.
struct Place {
  base::UniqueFd folder;
  std::string name;
};
Result<Place> open_place(const std::string& path, std::string& why);

// One directory, symbolic links followed. ENOENT, ENOTDIR, … as open(2).
Result<base::UniqueFd> open_directory(const std::string& path, std::string& why);

// base::open_beneath; `shown` is how `why` calls the file.
Result<base::UniqueFd> open_beneath(int folder, const std::string& name, int flags, mode_t mode,
                                    const std::string& shown, std::string& why);

// EPERM unless the directory belongs to this process's user and nobody else may write to it.
Status check_private_directory(int dir, std::string& why);

// EPERM unless `dir` and every directory above it belong to root (or this process's user) and are
// writable by nobody else, or are sticky.
Status check_parents(int dir, std::string& why);

// The parents of `dir`, without `dir` itself.
Status check_parents_above(int dir, std::string& why);

// EINVAL or EPERM unless it is a regular file of this process's user, mode 0600, one link.
Status check_private_file(int fd, const std::string& shown, std::string& why);

// EPERM unless the open device node is of this process's user, mode 0600.
Status check_private_node(int fd, const std::string& shown, std::string& why);

// The path of an open descriptor as the kernel knows it, for messages.
std::string shown_path(int fd);

}  // namespace pmemfs::region
