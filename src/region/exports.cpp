#include "region/exports.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <utility>

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

// Through /proc, since only that makes a description of its own of a file that has no name here.
base::UniqueFd open_again(int fd, int access) {
  const std::string self = fmt::format("/proc/self/fd/{}", fd);
  return base::UniqueFd(::open(self.c_str(), access | O_CLOEXEC));
}

}  // namespace

Result<base::UniqueFd> export_description(int fd, std::uint64_t key) {
  if (key >= kExportKeys) {
    return Error(EINVAL);
  }
  base::UniqueFd own = open_again(fd, O_RDWR);
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

bool is_exported(int fd) {
  const base::UniqueFd other = open_again(fd, O_RDONLY | O_NONBLOCK);  // no lease is waited for
  struct flock lock = lock_of(F_WRLCK, 0, kExportKeys);
  return other && ::fcntl(other.get(), F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
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
