#include "base/file_flags.hpp"

#include <linux/fs.h>
#include <sys/ioctl.h>

#include <cerrno>

namespace pmemfs::base {

Result<bool> change_file_flags(int fd, std::uint32_t mask, bool on) {
  struct fsxattr flags {};
  if (::ioctl(fd, FS_IOC_FSGETXATTR, &flags) != 0) {
    return Error(errno);
  }
  const std::uint32_t wanted = on ? flags.fsx_xflags | mask : flags.fsx_xflags & ~mask;
  if (wanted == flags.fsx_xflags) {
    return false;
  }
  flags.fsx_xflags = wanted;
  if (::ioctl(fd, FS_IOC_FSSETXATTR, &flags) != 0) {
    return Error(errno);
  }
  return true;
}

bool prefer_dax(int directory) {
  const Result<bool> changed = change_file_flags(directory, FS_XFLAG_DAX, true);
  return changed && *changed;
}

}  // namespace pmemfs::base
