// Between the core's types and those of stat(2) and libfuse. Pure functions.
#pragma once

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cstdint>

#include "fuse/libfuse.hpp"
#include "pmemfs/filesystem.hpp"

namespace pmemfs::fuse {

// Seconds. Every change of a name passes this kernel, so that names, missing ones included, may be
// cached for long.
inline constexpr double kNameTimeout = 86'400;
inline constexpr double kStableTimeout = 86'400;
inline constexpr double kUnstableTimeout = 1;  // a mapping may move size and times unseen

[[nodiscard]] double attribute_timeout(const Attributes& attributes);
[[nodiscard]] struct stat to_stat(const Attributes& attributes);
[[nodiscard]] struct statx to_statx(const Attributes& attributes);
[[nodiscard]] struct statvfs to_statvfs(const FilesystemSpace& space);
[[nodiscard]] fuse_entry_param to_entry(const Attributes& attributes);
[[nodiscard]] fuse_entry_param missing_entry();  // "no such name", to be remembered by the kernel

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
