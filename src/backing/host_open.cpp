#include "backing/host_open.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/open_beneath.hpp"

namespace pmemfs::backing {
namespace {

constexpr mode_t kPermissions = 07777;

// What openat2 says about a name that is no regular file (or directory) of this mount.
int meaning_of(int code) {
  switch (code) {
    case ELOOP:    // a symbolic link
    case EXDEV:    // a mount point
    case EISDIR:   // a directory in a file's place
    case ENOTDIR:  // the other way round
    case ENXIO:    // a socket
    case ENODEV:   // a device without driver
      return EUCLEAN;
    case EAGAIN:  // O_NONBLOCK: somebody holds a lease
      return EBUSY;
    default:
      return code;
  }
}

}  // namespace

Result<base::UniqueFd> open_beneath(int directory, const char* name, int flags, mode_t mode) {
  Result<base::UniqueFd> fd = base::open_beneath(directory, name, flags, mode);
  if (!fd) {
    return Error(meaning_of(fd.code()));
  }
  return fd;
}

bool is_private_file(mode_t mode, uid_t uid, nlink_t links) {
  return S_ISREG(mode) && (mode & kPermissions) == 0600 && uid == ::geteuid() && links == 1;
}

Status check_private_file(int fd) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) {
    return Error(errno);
  }
  return is_private_file(st.st_mode, st.st_uid, st.st_nlink) ? Status() : Status(Error(EUCLEAN));
}

Status check_private_directory(int fd) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) {
    return Error(errno);
  }
  const bool closed = (st.st_mode & (S_IRWXG | S_IRWXO)) == 0;
  return S_ISDIR(st.st_mode) && closed && st.st_uid == ::geteuid() ? Status()
                                                                   : Status(Error(EUCLEAN));
}

}  // namespace pmemfs::backing
