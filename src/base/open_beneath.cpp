#include "base/open_beneath.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace pmemfs::base {

Result<UniqueFd> open_beneath(int folder, const char* name, int flags, mode_t mode) {
  struct open_how how {};
  how.flags = static_cast<unsigned>(flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  long fd = -1;
  do {
    fd = ::syscall(SYS_openat2, folder, name, &how, sizeof how);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) {
    return Error(errno);
  }
  return UniqueFd(static_cast<int>(fd));
}

}  // namespace pmemfs::base
