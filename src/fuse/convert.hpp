// Between the core's types and those of stat(2) and libfuse. Pure functions.
#pragma once

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cstdint>

#include "fuse/libfuse.hpp"
#include "fuse/view.hpp"
#include "pmemfs/filesystem.hpp"

namespace pmemfs::fuse {

inline constexpr std::uint32_t kBlockSize = 4096;  // st_blksize

[[nodiscard]] double attribute_timeout(const Attributes& attributes, const View& view);
// With `marks_durable` st_blksize is odd for a durable file: libfuse has no place for
// FUSE_ATTR_DAX, and this is what it hands through untouched (GuestAnswer makes one of the other).
[[nodiscard]] struct stat to_stat(const Attributes& attributes, const View& view);
[[nodiscard]] struct statx to_statx(const Attributes& attributes);
[[nodiscard]] struct statvfs to_statvfs(const FilesystemSpace& space);
[[nodiscard]] fuse_entry_param to_entry(const Attributes& attributes, const View& view);
// "No such name", to be remembered by the kernel.
[[nodiscard]] fuse_entry_param missing_entry(const View& view);

// `to_set`: FUSE_SET_ATTR_* as libfuse hands them on; none at all is the kernel's word for "a write
// happened, do the set-id duties".
[[nodiscard]] AttributeChange to_change(const struct stat& values, int to_set);

// The kernel's file handle: the core's, and whether the open uses a registered backing file (its
// release gives it back).
struct FileHandle {
  HandleId handle = 0;  // below 2^63
  bool registered = false;

  [[nodiscard]] std::uint64_t encode() const { return handle << 1U | (registered ? 1U : 0U); }
  [[nodiscard]] static FileHandle decode(std::uint64_t fh) { return {fh >> 1U, (fh & 1U) != 0}; }
};

}  // namespace pmemfs::fuse
