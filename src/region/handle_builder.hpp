#pragma once

#include <memory>
#include <string>

#include "base/unique_fd.hpp"
#include "pmemfs/result.hpp"
#include "region/region_handle.hpp"

// What create() and open() share; private to this layer.
namespace pmemfs::region {

class HandleBuilder {
 public:
  // A locked, checked file of `size` bytes becomes a handle: probes and maps it. directory and data
  // are those of a directory region, else none.
  static Result<std::unique_ptr<RegionHandle>> build(const std::string& path,
                                                     base::UniqueFd directory, base::UniqueFd data,
                                                     base::UniqueFd file, bool read_only,
                                                     std::string& why);

  // The same for a DAX device, of which `host` tells.
  static Result<std::unique_ptr<RegionHandle>> map(const std::string& path, Probe host,
                                                   base::UniqueFd device, std::uint64_t size,
                                                   bool read_only, std::string& why);

 private:
  static Status map_file(RegionHandle& handle, std::uint64_t size, bool read_only,
                         std::string& why);
};

// EINVAL or EFBIG unless a region may have this many bytes.
Status check_size(const std::string& path, std::uint64_t size, std::string& why);

// lock_file with words.
Status lock_region(int fd, bool shared, unsigned wait_seconds, const std::string& path,
                   std::string& why);

// The same, exclusively, for one that is made anew: ETXTBSY while virtual machines map what was
// there.
Status lock_for_new(int fd, const std::string& path, std::string& why);

// What kind of thing `path` is, symbolic links followed; ENODEV for other devices than DAX devices,
// those that are no memory at present, and other things no region can be in.
Result<HostKind> region_kind(const std::string& path, std::string& why);

// The `data` directory of a directory region, checked.
Result<base::UniqueFd> open_data(int directory, const std::string& path, std::string& why);

}  // namespace pmemfs::region
