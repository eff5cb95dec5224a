#include "region/safe_path.hpp"

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>

#include "base/open_beneath.hpp"
#include "region/reason.hpp"

namespace pmemfs::region {
namespace {

using base::UniqueFd;

constexpr mode_t kOthersWrite = S_IWGRP | S_IWOTH;
constexpr mode_t kOthersAnything = S_IRWXG | S_IRWXO;

int retry_open(int folder, const char* name, int flags) {
  int fd = -1;
  do {
    fd = ::openat(folder, name, flags | O_CLOEXEC);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

// The whole of `path` without slashes at its end, except for "/".
std::string without_trailing_slashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') {
    path.pop_back();
  }
  return path;
}

Status check_one_parent(int dir, const struct stat& st, std::string& why) {
  const bool ours = st.st_uid == 0 || st.st_uid == ::geteuid();
  if (!ours) {
    return because(
        why, EPERM,
        fmt::format(
            "{}: owned by uid {}, who could replace the region below it; use a place whose parents "
            "belong to root, or chown root this directory",
            shown_path(dir), st.st_uid));
  }
  if ((st.st_mode & kOthersWrite) != 0 && (st.st_mode & S_ISVTX) == 0) {
    return because(
        why, EPERM,
        fmt::format(
            "{0}: writable by others, who could replace the region below it; chmod go-w {0}",
            shown_path(dir)));
  }
  return {};
}

Status check_closed_to_others(const struct stat& st, const std::string& shown, std::string& why) {
  if (st.st_uid != ::geteuid()) {
    return because(why, EPERM,
                   fmt::format("{0}: owned by uid {1}, not by uid {2} who runs this; chown {2} {0}",
                               shown, st.st_uid, ::geteuid()));
  }
  if ((st.st_mode & kOthersAnything) != 0) {
    return because(why, EPERM,
                   fmt::format("{0}: others may read or write it; chmod 600 {0}", shown));
  }
  return {};
}

Status walk_up(UniqueFd dir, std::string& why) {
  struct stat st {};
  if (::fstat(dir.get(), &st) != 0) {
    const int code = errno;
    return because_errno(why, code, shown_path(dir.get()));
  }
  for (int depth = 0; depth < PATH_MAX; ++depth) {
    PMEMFS_CHECK(check_one_parent(dir.get(), st, why));
    UniqueFd up(retry_open(dir.get(), "..", O_PATH | O_DIRECTORY));
    struct stat above {};
    if (!up || ::fstat(up.get(), &above) != 0) {
      const int code = errno;
      return because_errno(why, code, shown_path(dir.get()) + "/..");
    }
    if (above.st_dev == st.st_dev && above.st_ino == st.st_ino) {
      return {};
    }
    dir = std::move(up);
    st = above;
  }
  return because(why, ELOOP, "the directories above the region have no end");
}

}  // namespace

std::string shown_path(int fd) {
  std::array<char, PATH_MAX> text{};
  const ssize_t n =
      ::readlink(fmt::format("/proc/self/fd/{}", fd).c_str(), text.data(), text.size());
  return n > 0 ? std::string(text.data(), static_cast<std::size_t>(n)) : std::string("a directory");
}

Result<UniqueFd> open_directory(const std::string& path, std::string& why) {
  UniqueFd fd(retry_open(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY));
  if (!fd) {
    return because_errno(why, errno, path);
  }
  return fd;
}

Result<Place> open_place(const std::string& path, std::string& why) {
  const std::string whole = without_trailing_slashes(path);
  const std::size_t slash = whole.rfind('/');
  Place place;
  place.name = slash == std::string::npos ? whole : whole.substr(slash + 1);
  if (place.name.empty() || place.name == "." || place.name == "..") {
    return because(why, EINVAL, fmt::format("'{}' does not name a file or directory", path));
  }
  std::string folder = ".";
  if (slash != std::string::npos) {
    folder = slash == 0 ? "/" : whole.substr(0, slash);
  }
  place.folder.reset(retry_open(AT_FDCWD, folder.c_str(), O_RDONLY | O_DIRECTORY));
  if (!place.folder) {
    const int code = errno;
    return because(why, code,
                   fmt::format("{}: {} (the directory that is to hold {})", folder,
                               std::strerror(code), place.name));
  }
  return place;
}

Result<UniqueFd> open_beneath(int folder, const std::string& name, int flags, mode_t mode,
                              const std::string& shown, std::string& why) {
  Result<UniqueFd> fd = base::open_beneath(folder, name.c_str(), flags, mode);
  if (fd) {
    return fd;
  }
  const int code = fd.code();
  if (code == ELOOP) {
    return because(why, code,
                   fmt::format("{}: is a symbolic link, which is not followed here", shown));
  }
  if (code == EXDEV) {
    return because(
        why, code,
        fmt::format("{}: lies on another mount than the directory that holds it", shown));
  }
  return because_errno(why, code, shown);
}

Status check_private_directory(int dir, std::string& why) {
  struct stat st {};
  if (::fstat(dir, &st) != 0) {
    const int code = errno;
    return because_errno(why, code, shown_path(dir));
  }
  if (st.st_uid != ::geteuid()) {
    return because(why, EPERM,
                   fmt::format("{0}: owned by uid {1}, not by uid {2} who runs this; chown {2} {0}",
                               shown_path(dir), st.st_uid, ::geteuid()));
  }
  if ((st.st_mode & kOthersWrite) != 0) {
    return because(why, EPERM,
                   fmt::format("{0}: writable by others; chmod 700 {0}", shown_path(dir)));
  }
  return {};
}

Status check_parents(int dir, std::string& why) {
  UniqueFd start(retry_open(dir, ".", O_PATH | O_DIRECTORY));
  if (!start) {
    const int code = errno;
    return because_errno(why, code, shown_path(dir));
  }
  return walk_up(std::move(start), why);
}

Status check_parents_above(int dir, std::string& why) {
  UniqueFd start(retry_open(dir, "..", O_PATH | O_DIRECTORY));
  if (!start) {
    const int code = errno;
    return because_errno(why, code, shown_path(dir) + "/..");
  }
  return walk_up(std::move(start), why);
}

Status check_private_file(int fd, const std::string& shown, std::string& why) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) {
    return because_errno(why, errno, shown);
  }
  if (!S_ISREG(st.st_mode)) {
    return because(why, EINVAL, fmt::format("{}: is not a regular file", shown));
  }
  PMEMFS_CHECK(check_closed_to_others(st, shown, why));
  if (st.st_nlink != 1) {
    return because(
        why, EPERM,
        fmt::format("{}: has {} names; remove the others (find -samefile)", shown, st.st_nlink));
  }
  return {};
}

Status check_private_node(int fd, const std::string& shown, std::string& why) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) {
    return because_errno(why, errno, shown);
  }
  return check_closed_to_others(st, shown, why);
}

}  // namespace pmemfs::region
