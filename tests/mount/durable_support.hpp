#pragma once

// What all tests of the durable flag need.

#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <chrono>
#include <thread>

#include "pmemfs/durable.h"
#include "support/mount_fixture.hpp"

namespace pmemfs::test {

inline constexpr std::size_t kPage = 4096;
inline constexpr std::size_t kMiB = 1U << 20U;

inline int set_durable(const std::string& path) {
  return sys::setxattr(path, PMEMFS_XATTR_DURABLE, "1");
}
inline int clear_durable(const std::string& path) {
  return sys::setxattr(path, PMEMFS_XATTR_DURABLE, "0");
}

inline bool is_durable(const std::string& path) {
  std::string value;
  return sys::getxattr(path, PMEMFS_XATTR_DURABLE, value) == 1 && value == "1";
}

// A durable file with this content.
inline std::string durable_file(const std::string& path,
                                const std::string& content = pattern(64 * 1024, 1)) {
  make_file(path, content);
  NEED_OK(set_durable(path));
  return path;
}

// Where the data lies, as far as pmemfs tells.
inline std::string layout_of(const std::string& path) {
  return xattr_of(path, PMEMFS_XATTR_EXTENTS);
}

// Data from the start to the end, and all of it allocated.
inline bool has_no_holes(const std::string& path) {
  const UniqueFd fd = open_file(path, O_RDONLY);
  const struct stat st = stat_of(fd.get());
  return st.st_size == 0 ||
         (::lseek(fd.get(), 0, SEEK_HOLE) == st.st_size && ::lseek(fd.get(), 0, SEEK_DATA) == 0 &&
          st.st_blocks * 512 >= st.st_size);
}

// The call again while it is EBUSY: RELEASE comes after close(2) returned.
template <typename Call>
Errno once_idle(Call call) {
  Errno result;
  for (int i = 0; i < 200; ++i) {
    result = error_of(call());
    if (!(result == Errno{EBUSY})) {
      break;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return result;
}

// Writes to `path` until the filesystem is full; returns the errno that ended it.
inline Errno fill_up(const std::string& path) {
  const UniqueFd fd = open_file(path, O_CREAT | O_WRONLY | O_APPEND);
  const std::string part = pattern(128 * 1024, 9);
  ssize_t n = 0;
  while ((n = ::write(fd.get(), part.data(), part.size())) > 0) {
  }
  const Errno result{errno};
  while (::write(fd.get(), "x", 1) == 1) {
  }
  return result;
}

// A shared or private mapping; `data` is null when refused.
class Mapped {
 public:
  Mapped(int fd, std::size_t size, int flags = MAP_SHARED, int protection = PROT_READ | PROT_WRITE)
      : size_(size) {
    void* at = ::mmap(nullptr, size, protection, flags, fd, 0);
    error_ = at == MAP_FAILED ? Errno{errno} : Errno{};
    data_ = at == MAP_FAILED ? nullptr : static_cast<char*>(at);
  }
  ~Mapped() {
    if (data_ != nullptr) {
      ::munmap(data_, size_);
    }
  }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;
  [[nodiscard]] char* data() const { return data_; }
  [[nodiscard]] Errno error() const { return error_; }
  void store(std::size_t off, const std::string& bytes) const {
    std::memcpy(data_ + off, bytes.data(), bytes.size());
  }
  [[nodiscard]] std::string text(std::size_t off, std::size_t size) const {
    return {data_ + off, size};
  }
  [[nodiscard]] int sync() const { return ::msync(data_, size_, MS_SYNC); }

 private:
  char* data_ = nullptr;
  std::size_t size_;
  Errno error_;
};

}  // namespace pmemfs::test
