#include "virtiofs/file_id.hpp"

#include <sys/sysmacros.h>

#include "base/descriptor.hpp"

namespace pmemfs::virtiofs {

Result<FileId> FileId::of(int fd) {
  PMEMFS_TRY(const struct statx st, base::known_of(fd, STATX_INO));
  return FileId{makedev(st.stx_dev_major, st.stx_dev_minor), st.stx_ino,
                makedev(st.stx_rdev_major, st.stx_rdev_minor)};
}

}  // namespace pmemfs::virtiofs
