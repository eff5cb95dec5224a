#include "region/exports.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>

#include "region/host_file.hpp"

namespace pmemfs::region {
namespace {

struct flock lock_of(short type, std::uint64_t key, std::uint64_t n) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(kExportLocks + key);
  lock.l_len = static_cast<off_t>(n);
  return lock;
}

}  // namespace

Result<base::UniqueFd> export_description(int fd, std::uint64_t key, bool writable) {
  if (key >= kExportKeys) {
    return Error(EINVAL);
  }
  // Through /proc, since only that makes a description of its own of a file that has no name here.
  const std::string self = fmt::format("/proc/self/fd/{}", fd);
  base::UniqueFd own(::open(self.c_str(), (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC));
  if (!own) {
    return Error(errno);
  }
  struct flock lock = lock_of(F_RDLCK, key, 1);
  if (::fcntl(own.get(), F_OFD_SETLK, &lock) != 0) {
    return Error(errno);
  }
  return own;
}

bool export_lives(int fd, std::uint64_t key, std::uint64_t n) {
  struct flock lock = lock_of(F_WRLCK, key, n);
  return ::fcntl(fd, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

}  // namespace pmemfs::region
