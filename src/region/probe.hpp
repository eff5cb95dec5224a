#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "pmemfs/region.hpp"
#include "pmemfs/result.hpp"

// What kind of memory lies behind a path. Nothing is changed by looking. Thread-safe.
namespace pmemfs::region {

enum class HostKind : std::uint8_t { kDirectory, kFile, kDevdax, kOther };

[[nodiscard]] std::string_view to_string(HostKind kind);  // "directory", "file", "devdax", "other"

struct Probe {
  HostKind kind = HostKind::kOther;
  std::string filesystem;    // "ext4", "tmpfs", …; "unknown" where /proc is missing
  bool map_sync = false;     // MAP_SYNC is granted: flushed stores survive without fsync
  bool volatile_fs = false;  // tmpfs or ramfs, a device of volatile memory: gone at the next boot
  bool read_only = false;    // the filesystem is mounted read-only
  Granularity granularity = Granularity::kNone;
  std::uint64_t alignment = 0;  // of mappings of a DAX device, in bytes; 0 for all others
};

// ENOENT and others as open(2); `why` is set then (see reason.hpp). On a read-only directory, where
// no file can be made to try it, map_sync is false: probe a file in it instead.
Result<Probe> probe(const std::string& path, std::string& why);

// The same for an open directory, regular file or DAX device; of others the kind alone.
Result<Probe> probe_fd(int fd, const std::string& shown, std::string& why);

}  // namespace pmemfs::region
