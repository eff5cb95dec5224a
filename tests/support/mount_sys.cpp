#include "support/mount_sys.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <thread>

namespace pmemfs::test {
namespace {

[[noreturn]] void fail(const std::string& what) {
  const char* name = ::strerrorname_np(errno);
  throw std::runtime_error(what + ": " + (name != nullptr ? name : std::to_string(errno)));
}

}  // namespace

struct stat stat_of(const std::string& path) {
  struct stat st {};
  if (::lstat(path.c_str(), &st) < 0) {
    fail("lstat " + path);
  }
  return st;
}

struct stat stat_of(int fd) {
  struct stat st {};
  if (::fstat(fd, &st) < 0) {
    fail("fstat");
  }
  return st;
}

ino_t inode_of(const std::string& path) {
  return stat_of(path).st_ino;
}
nlink_t links_of(const std::string& path) {
  return stat_of(path).st_nlink;
}
mode_t mode_of(const std::string& path) {
  return stat_of(path).st_mode & 07777U;
}

bool exists(const std::string& path) {
  struct stat st {};
  return ::lstat(path.c_str(), &st) == 0;
}

UniqueFd open_file(const std::string& path, int flags, mode_t mode) {
  UniqueFd fd(sys::open(path, flags, mode));
  if (!fd) {
    fail("open " + path);
  }
  return fd;
}

void make_file(const std::string& path, std::string_view content, mode_t mode) {
  const UniqueFd fd = open_file(path, O_CREAT | O_EXCL | O_WRONLY, mode);
  if (!write_all(fd.get(), content)) {
    fail("write " + path);
  }
  if (::fchmod(fd.get(), mode) < 0) {
    fail("fchmod " + path);
  }
}

std::string content_of(const std::string& path) {
  const UniqueFd fd = open_file(path, O_RDONLY);
  std::string all;
  std::string part(std::size_t{256} * 1024, '\0');
  for (;;) {
    const ssize_t n = ::read(fd.get(), part.data(), part.size());
    if (n < 0) {
      fail("read " + path);
    }
    if (n == 0) {
      return all;
    }
    all.append(part, 0, static_cast<std::size_t>(n));
  }
}

std::string xattr_of(const std::string& path, const std::string& name) {
  std::string value;
  if (sys::getxattr(path, name, value) < 0) {
    fail("getxattr " + name + " of " + path);
  }
  return value;
}

std::vector<std::string> xattr_names_of(const std::string& path) {
  std::string list(std::size_t{64} * 1024, '\0');
  const ssize_t n = ::llistxattr(path.c_str(), list.data(), list.size());
  if (n < 0) {
    fail("listxattr " + path);
  }
  std::vector<std::string> names;
  for (std::size_t at = 0; at < static_cast<std::size_t>(n);) {
    names.emplace_back(list.c_str() + at);
    at += names.back().size() + 1;
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> names_in(const std::string& dir) {
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(dir.c_str()), &::closedir);
  if (!stream) {
    fail("opendir " + dir);
  }
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") {
      names.push_back(name);
    }
  }
  if (errno != 0) {
    fail("readdir " + dir);
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool write_all(int fd, std::string_view data) {
  while (!data.empty()) {
    const ssize_t n = ::write(fd, data.data(), data.size());
    if (n <= 0) {
      return false;
    }
    data.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

bool pwrite_all(int fd, std::string_view data, off_t off) {
  while (!data.empty()) {
    const ssize_t n = ::pwrite(fd, data.data(), data.size(), off);
    if (n <= 0) {
      return false;
    }
    data.remove_prefix(static_cast<std::size_t>(n));
    off += n;
  }
  return true;
}

std::string pread_some(int fd, std::size_t size, off_t off) {
  std::string data(size, '\0');
  std::size_t got = 0;
  while (got < size) {
    const ssize_t n = ::pread(fd, data.data() + got, size - got, off + static_cast<off_t>(got));
    if (n < 0) {
      fail("pread");
    }
    if (n == 0) {
      break;
    }
    got += static_cast<std::size_t>(n);
  }
  data.resize(got);
  return data;
}

std::string pattern(std::size_t size, std::uint64_t seed) {
  std::string data(size, '\0');
  std::uint64_t x = seed * 0x9E3779B97F4A7C15ULL + 1;
  for (char& c : data) {
    x = x * 6364136223846793005ULL + 1442695040888963407ULL;
    c = static_cast<char>((x >> 56U) | 1U);  // never zero: holes are told from data
  }
  return data;
}

void tick() {
  std::this_thread::sleep_for(std::chrono::milliseconds(12));
}

}  // namespace pmemfs::test
