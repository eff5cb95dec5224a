#pragma once

// Real system calls on paths, and how tests look at their outcome: an errno by its name.

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/types.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.hpp"
#include "harness/catch.hpp"

namespace pmemfs::test {

using base::UniqueFd;

// The outcome of a system call: 0, or its errno. kSignalled + n: the process died of signal n.
struct Errno {
  static constexpr int kSignalled = 1000;
  int code = 0;
  bool operator==(const Errno&) const = default;
};

template <typename T>
Errno error_of(T rc) {
  return rc < 0 ? Errno{errno} : Errno{};
}

// Thin names over the system calls, for std::string paths. All return what the call returns.
namespace sys {

inline int open(const std::string& p, int flags, mode_t mode = 0644) {
  return ::open(p.c_str(), flags | O_CLOEXEC, mode);
}
inline int mkdir(const std::string& p, mode_t mode = 0755) {
  return ::mkdir(p.c_str(), mode);
}
inline int rmdir(const std::string& p) {
  return ::rmdir(p.c_str());
}
inline int unlink(const std::string& p) {
  return ::unlink(p.c_str());
}
inline int mknod(const std::string& p, mode_t mode, dev_t dev = 0) {
  return ::mknod(p.c_str(), mode, dev);
}
inline int symlink(const std::string& target, const std::string& p) {
  return ::symlink(target.c_str(), p.c_str());
}
inline int link(const std::string& from, const std::string& to) {
  return ::link(from.c_str(), to.c_str());
}
inline int rename(const std::string& from, const std::string& to, unsigned flags = 0) {
  return ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags);
}
inline int chmod(const std::string& p, mode_t mode) {
  return ::chmod(p.c_str(), mode);
}
inline int lchown(const std::string& p, uid_t uid, gid_t gid) {
  return ::lchown(p.c_str(), uid, gid);
}
inline int truncate(const std::string& p, off_t size) {
  return ::truncate(p.c_str(), size);
}
inline int chdir(const std::string& p) {
  return ::chdir(p.c_str());
}
inline int lstat(const std::string& p, struct stat& st) {
  return ::lstat(p.c_str(), &st);
}
inline int access(const std::string& p, int mode) {
  return ::access(p.c_str(), mode);
}

inline ssize_t readlink(const std::string& p, std::string& target) {
  target.resize(PATH_MAX);
  const ssize_t n = ::readlink(p.c_str(), target.data(), target.size());
  target.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
  return n;
}
inline int setxattr(const std::string& p, const std::string& name, std::string_view value,
                    int flags = 0) {
  return ::lsetxattr(p.c_str(), name.c_str(), value.data(), value.size(), flags);
}
inline int removexattr(const std::string& p, const std::string& name) {
  return ::lremovexattr(p.c_str(), name.c_str());
}
inline ssize_t getxattr(const std::string& p, const std::string& name, std::string& value) {
  value.resize(std::size_t{64} * 1024);
  const ssize_t n = ::lgetxattr(p.c_str(), name.c_str(), value.data(), value.size());
  value.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
  return n;
}
inline ssize_t getxattr(const std::string& p, const std::string& name) {
  std::string value;
  return getxattr(p, name, value);
}

}  // namespace sys

// For what cannot fail in a sound test: throws with the call's errno, and so ends the test case.
struct stat stat_of(const std::string& path);
struct stat stat_of(int fd);
ino_t inode_of(const std::string& path);
nlink_t links_of(const std::string& path);
mode_t mode_of(const std::string& path);  // permission bits with suid, sgid and sticky
bool exists(const std::string& path);     // lstat finds something

UniqueFd open_file(const std::string& path, int flags, mode_t mode = 0644);
void make_file(const std::string& path, std::string_view content = {}, mode_t mode = 0644);
std::string content_of(const std::string& path);
std::string xattr_of(const std::string& path, const std::string& name);
std::vector<std::string> xattr_names_of(const std::string& path);  // sorted
std::vector<std::string> names_in(const std::string& dir);         // sorted, without . and ..

// Whole transfers; false with errno set when cut short.
bool write_all(int fd, std::string_view data);
bool pwrite_all(int fd, std::string_view data, off_t off);
std::string pread_some(int fd, std::size_t size, off_t off);

// `size` bytes that depend on `seed` and on their offset.
std::string pattern(std::size_t size, std::uint64_t seed);

// Longer than the kernel's coarse clock tick, so that a later time stamp is greater.
void tick();

}  // namespace pmemfs::test

template <>
struct Catch::StringMaker<pmemfs::test::Errno> {
  static std::string convert(const pmemfs::test::Errno& e) {
    if (e.code >= pmemfs::test::Errno::kSignalled) {
      return "signal " + std::to_string(e.code - pmemfs::test::Errno::kSignalled);
    }
    const char* name = e.code == 0 ? "OK" : ::strerrorname_np(e.code);
    return name != nullptr ? name : std::to_string(e.code);
  }
};

// The call must end with this errno (0: succeed). NEED_OK ends the case when it does not.
#define EXPECT_ERRNO(expected, ...) \
  CHECK(pmemfs::test::error_of(__VA_ARGS__) == pmemfs::test::Errno{expected})
#define EXPECT_OK(...) EXPECT_ERRNO(0, __VA_ARGS__)
#define NEED_OK(...) REQUIRE(pmemfs::test::error_of(__VA_ARGS__) == pmemfs::test::Errno{0})
