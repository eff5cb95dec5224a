#pragma once

#include <memory>
#include <optional>
#include <string>

#include "pmemfs/format.hpp"
#include "pmemfs/result.hpp"
#include "region/region_handle.hpp"
#include "store/store.hpp"

// Regions as the programs meet them: with lines for people when something is wrong.
namespace pmemfs::tools {

// The superblock of a region that anybody may have open; nothing when none is whole.
std::optional<format::Superblock> peek_superblock(const std::string& path);

// Who uses the region at `path`, for "…: in use: ": "mounted on /mnt (process 12)", "process 12".
std::string describe_user(const std::string& path);

// region::open, waiting up to `wait_seconds` for an owner that shuts down (not for one whose mount
// is in the mount table). Throws Failure.
std::unique_ptr<region::RegionHandle> open_region(const std::string& path, bool read_only,
                                                  unsigned wait_seconds);

struct CheckedSuperblock {
  format::Superblock superblock{};
  bool used_second = false;
};

// Throws Failure when the region holds no superblock that this version understands.
CheckedSuperblock check_superblock(const region::RegionHandle& handle);

// What the superblock of a region there says of where it lies: kind, emulation, alignment, and
// which version made it.
store::FormatOptions facts_for_superblock(const region::RegionHandle& handle);

// The line for a failed Store::open or Filesystem::open.
std::string media_failure(const std::string& path, int code);

}  // namespace pmemfs::tools
