#include "virtiofs/file_id.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>

namespace pmemfs::virtiofs {

Result<FileId> FileId::of(int fd) {
  struct statx st {};
  if (::statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, &st) != 0) {
    return Error(errno);
  }
  return FileId{makedev(st.stx_dev_major, st.stx_dev_minor), st.stx_ino,
                makedev(st.stx_rdev_major, st.stx_rdev_minor)};
}

}  // namespace pmemfs::virtiofs
