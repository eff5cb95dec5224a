#include "region/exports.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/descriptor.hpp"
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

Result<base::UniqueFd> export_description(int fd, std::uint64_t key) {
  if (key >= kExportKeys) {
    return Error(EINVAL);
  }
  PMEMFS_TRY(base::UniqueFd own, base::open_again(fd, O_RDWR));
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

bool is_exported(int fd) {
  const auto other = base::open_again(fd, O_RDONLY | O_NONBLOCK);  // no lease is waited for
  struct flock lock = lock_of(F_WRLCK, 0, kExportKeys);
  return other && ::fcntl(other->get(), F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

// The kernel tells of one that is in the way, not of which: the rest is on either side of it.
std::vector<std::uint64_t> live_exports(int fd) {
  std::vector<std::uint64_t> keys;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges{{0, kExportKeys}};
  while (!ranges.empty()) {
    const auto [begin, end] = ranges.back();
    ranges.pop_back();
    struct flock lock = lock_of(F_WRLCK, begin, end - begin);
    if (begin >= end || ::fcntl(fd, F_OFD_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) {
      continue;
    }
    const std::uint64_t key =
        std::max(static_cast<std::uint64_t>(lock.l_start), kExportLocks + begin) - kExportLocks;
    keys.push_back(key);
    ranges.emplace_back(begin, key);
    ranges.emplace_back(key + 1, end);
  }
  return keys;
}

}  // namespace pmemfs::region
