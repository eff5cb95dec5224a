#include "base/descriptor.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <string>

namespace pmemfs::base {

// Through /proc, since only that opens a file that has no name here.
Result<UniqueFd> open_again(int fd, int flags) {
  const std::string self = fmt::format("/proc/self/fd/{}", fd);
  UniqueFd own(::open(self.c_str(), flags | O_CLOEXEC));
  if (!own) {
    return Error(errno);
  }
  return own;
}

Result<struct statx> known_of(int fd, unsigned mask) {
  struct statx st {};
  if (::statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, mask, &st) != 0) {
    return Error(errno);
  }
  return st;
}

}  // namespace pmemfs::base
