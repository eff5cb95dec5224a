// Which file is behind a descriptor.
#pragma once

#include <sys/types.h>

#include <compare>

#include "pmemfs/result.hpp"

namespace pmemfs::virtiofs {

// The same for all descriptors of a file, and no other file's while that one is open or mapped.
struct FileId {
  dev_t filesystem = 0;  // st_dev
  ino_t inode = 0;
  dev_t device = 0;  // st_rdev

  // As the kernel knows it: no file system that a user serves is asked. statx(2)'s errors.
  static Result<FileId> of(int fd);

  constexpr auto operator<=>(const FileId&) const = default;  // NOLINT(modernize-use-nullptr)
};

}  // namespace pmemfs::virtiofs
