#include "tools/file_copy.hpp"

#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <vector>

namespace pmemfs::tools {
namespace {

using base::UniqueFd;

constexpr std::size_t kChunk = 1U << 20U;

std::string path_of(int fd) {
  return "/proc/self/fd/" + std::to_string(fd);
}

int code_of(long result) {
  return result < 0 ? errno : 0;
}

// --- Attributes ----------------------------------------------------------------------------------

int copy_xattr(const std::string& from, const std::string& to, const char* name) {
  std::vector<char> value(XATTR_SIZE_MAX);
  const ssize_t size = ::getxattr(from.c_str(), name, value.data(), value.size());
  if (size < 0) {
    return errno == ENODATA ? 0 : errno;
  }
  return code_of(::setxattr(to.c_str(), name, value.data(), static_cast<std::size_t>(size), 0));
}

int copy_xattrs(const std::string& from, const std::string& to) {
  std::vector<char> names(XATTR_LIST_MAX);
  const ssize_t size = ::listxattr(from.c_str(), names.data(), names.size());
  if (size < 0) {
    return errno == EOPNOTSUPP ? 0 : errno;
  }
  for (const char* name = names.data(); name < names.data() + size; name += std::strlen(name) + 1) {
    if (const int code = copy_xattr(from, to, name); code != 0) {
      return code;
    }
  }
  return 0;
}

// --- Data ----------------------------------------------------------------------------------------

int copy_range(int from, int to, off_t begin, off_t end, std::vector<char>& buffer,
               const CopyProgress& progress) {
  while (begin < end) {
    const auto want = static_cast<std::size_t>(
        std::min<std::uint64_t>(buffer.size(), static_cast<std::uint64_t>(end - begin)));
    const ssize_t got = ::pread(from, buffer.data(), want, begin);
    if (got <= 0) {
      return got < 0 ? errno : 0;  // shorter than it was: its stamp has changed
    }
    for (ssize_t done = 0; done < got;) {
      const ssize_t n =
          ::pwrite(to, buffer.data() + done, static_cast<std::size_t>(got - done), begin + done);
      if (n < 0) {
        return errno;
      }
      done += n;
    }
    begin += got;
    progress(static_cast<std::uint64_t>(got));
  }
  return 0;
}

int copy_data(int from, off_t size, int to, const CopyProgress& progress) {
  if (::ftruncate(to, size) != 0) {
    return errno;
  }
  std::vector<char> buffer(kChunk);
  for (off_t at = 0; at < size;) {
    const off_t data = ::lseek(from, at, SEEK_DATA);
    if (data < 0) {
      return errno == ENXIO ? 0 : errno;
    }
    const off_t hole = ::lseek(from, data, SEEK_HOLE);
    if (hole < 0) {
      return errno == ENXIO ? 0 : errno;
    }
    const off_t end = std::min(hole, size);
    if (const int code = copy_range(from, to, data, end, buffer, progress); code != 0) {
      return code;
    }
    at = end;
  }
  return 0;
}

int copy_regular(const HeldEntry& from, int to_dir, const std::string& name,
                 const CopyProgress& progress) {
  const UniqueFd source(::open(from.path().c_str(), O_RDONLY | O_NOATIME | O_CLOEXEC));
  const UniqueFd copy(::openat(to_dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!source || !copy) {
    return errno;
  }
  int code = copy_data(source.get(), from.st().st_size, copy.get(), progress);
  code = code != 0 ? code : copy_attributes(from, copy.get());
  code = code != 0 ? code : copy_times(from.st(), copy.get());
  if (code != 0) {
    return code;
  }
  if (::fsync(copy.get()) != 0) {
    return errno;
  }
  return code_of(
      ::linkat(AT_FDCWD, path_of(copy.get()).c_str(), to_dir, name.c_str(), AT_SYMLINK_FOLLOW));
}

// --- What has no data ----------------------------------------------------------------------------

std::string target_of(const HeldEntry& link) {
  std::array<char, PATH_MAX> target{};
  const ssize_t size = ::readlinkat(link.fd(), "", target.data(), target.size());
  return size < 0 ? std::string() : std::string(target.data(), static_cast<std::size_t>(size));
}

int make_node(const HeldEntry& from, int to_dir, const std::string& name) {
  const struct stat& st = from.st();
  if (S_ISLNK(st.st_mode)) {
    return code_of(::symlinkat(target_of(from).c_str(), to_dir, name.c_str()));
  }
  return code_of(::mknodat(to_dir, name.c_str(), (st.st_mode & S_IFMT) | 0600U, st.st_rdev));
}

// Whoever may write to the directory may have put something else there meanwhile.
bool is_new_node(const struct stat& made, const struct stat& wanted) {
  return (made.st_mode & S_IFMT) == (wanted.st_mode & S_IFMT) && made.st_nlink == 1 &&
         made.st_uid == ::geteuid() && made.st_rdev == wanted.st_rdev;
}

int copy_node(const HeldEntry& from, int to_dir, const std::string& name) {
  if (const int code = make_node(from, to_dir, name); code != 0) {
    return code;
  }
  HeldEntry made;
  int code = HeldEntry::open(to_dir, name, &made);
  if (code == 0 && !is_new_node(made.st(), from.st())) {
    return EAGAIN;
  }
  code = code != 0 ? code : copy_attributes(from, made.fd());
  code = code != 0 ? code : copy_times(from.st(), made.fd());
  if (code != 0) {
    ::unlinkat(to_dir, name.c_str(), 0);
  }
  return code;
}

// --- Comparison ----------------------------------------------------------------------------------

bool same_data(const HeldEntry& a, const HeldEntry& b) {
  const UniqueFd one(::open(a.path().c_str(), O_RDONLY | O_NOATIME | O_CLOEXEC));
  const UniqueFd other(::open(b.path().c_str(), O_RDONLY | O_NOATIME | O_CLOEXEC));
  std::vector<char> left(kChunk);
  std::vector<char> right(kChunk);
  for (off_t at = 0; one && other;) {
    const ssize_t n = ::pread(one.get(), left.data(), left.size(), at);
    if (n < 0 || ::pread(other.get(), right.data(), right.size(), at) != n ||
        std::memcmp(left.data(), right.data(), static_cast<std::size_t>(n)) != 0) {
      return false;
    }
    if (n == 0) {
      return true;
    }
    at += n;
  }
  return false;
}

bool same_facts(const struct stat& a, const struct stat& b) {
  return a.st_mode == b.st_mode && a.st_uid == b.st_uid && a.st_gid == b.st_gid &&
         a.st_size == b.st_size && a.st_rdev == b.st_rdev && a.st_mtim.tv_sec == b.st_mtim.tv_sec &&
         a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

// Asks the filesystem, whatever the kernel remembers: stores through mappings change times unseen.
int stat_now(int fd, struct stat* st) {
  struct statx x {};
  if (::statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &x) != 0 ||
      ::fstat(fd, st) != 0) {
    return errno;
  }
  st->st_size = static_cast<off_t>(x.stx_size);
  st->st_atim = {x.stx_atime.tv_sec, x.stx_atime.tv_nsec};
  st->st_mtim = {x.stx_mtime.tv_sec, x.stx_mtime.tv_nsec};
  return 0;
}

}  // namespace

int HeldEntry::open(int dir, const std::string& name, HeldEntry* entry) {
  entry->fd_.reset(::openat(dir, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  return entry->fd_ ? stat_now(entry->fd_.get(), &entry->st_) : errno;
}

std::string HeldEntry::path() const {
  return path_of(fd_.get());
}

int copy_entry(const HeldEntry& from, int to_dir, const std::string& name,
               const CopyProgress& progress) {
  return S_ISREG(from.st().st_mode) ? copy_regular(from, to_dir, name, progress)
                                    : copy_node(from, to_dir, name);
}

bool is_copy(const HeldEntry& from, int to_dir, const std::string& name) {
  HeldEntry found;
  if (HeldEntry::open(to_dir, name, &found) != 0 || !same_facts(from.st(), found.st())) {
    return false;
  }
  if (S_ISLNK(from.st().st_mode)) {
    return target_of(from) == target_of(found);
  }
  return !S_ISREG(from.st().st_mode) || same_data(from, found);
}

// What it inherited goes first; the mode after the owner, which takes set-id bits away;
// capabilities after both.
int copy_attributes(const HeldEntry& from, int to_fd) {
  const struct stat& st = from.st();
  const std::string to = path_of(to_fd);
  for (const char* inherited : {"system.posix_acl_access", "system.posix_acl_default"}) {
    (void)::removexattr(to.c_str(), inherited);
  }
  if (::fchownat(to_fd, "", st.st_uid, st.st_gid, AT_EMPTY_PATH) != 0 ||
      (!S_ISLNK(st.st_mode) && ::chmod(to.c_str(), st.st_mode & 07777U) != 0)) {
    return errno;
  }
  return copy_xattrs(from.path(), to);
}

int copy_times(const struct stat& from, int to_fd) {
  const std::array<timespec, 2> times{from.st_atim, from.st_mtim};
  return code_of(::utimensat(to_fd, "", times.data(), AT_EMPTY_PATH));
}

}  // namespace pmemfs::tools
