#include "region/host_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <thread>
#include <vector>

namespace pmemfs::region {
namespace {

constexpr std::size_t kChunk = 1U << 20U;
constexpr auto kLockPause = std::chrono::milliseconds(20);

Status preallocate(int fd, std::uint64_t off, std::uint64_t len) {
  int result = -1;
  do {
    result = ::fallocate(fd, 0, static_cast<off_t>(off), static_cast<off_t>(len));
  } while (result != 0 && errno == EINTR);
  // A host without fallocate allocates as the zeros are written.
  if (result != 0 && errno != EOPNOTSUPP) {
    return Error(errno);
  }
  return {};
}

Status write_zeros(int fd, std::uint64_t off, std::uint64_t len) {
  const std::vector<std::byte> zeros(kChunk);
  while (len > 0) {
    const ssize_t n =
        ::pwrite(fd, zeros.data(), std::min<std::uint64_t>(len, kChunk), static_cast<off_t>(off));
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      return Error(n == 0 ? EIO : errno);
    }
    off += static_cast<std::uint64_t>(n);
    len -= static_cast<std::uint64_t>(n);
  }
  return {};
}

Result<bool> any_nonzero(int fd, std::uint64_t off, std::uint64_t len) {
  std::vector<std::byte> bytes(len);
  PMEMFS_CHECK(read_exactly(fd, off, bytes.data(), bytes.size()));
  return std::any_of(bytes.begin(), bytes.end(), [](std::byte b) { return b != std::byte{0}; });
}

}  // namespace

Status lock_file(int fd, LockMode mode, unsigned wait_seconds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(wait_seconds);
  while (true) {
    struct flock lock {};
    lock.l_type = mode == LockMode::kExclusive ? F_WRLCK : F_RDLCK;
    lock.l_whence = SEEK_SET;
    lock.l_len = static_cast<off_t>(kExportLocks);
    if (::fcntl(fd, F_OFD_SETLK, &lock) == 0) {
      return {};
    }
    if (errno == EINTR) {
      continue;
    }
    if (errno != EAGAIN && errno != EACCES) {
      return Error(errno);
    }
    if (std::chrono::steady_clock::now() >= deadline) {
      return Error(EBUSY);
    }
    std::this_thread::sleep_for(kLockPause);
  }
}

Status fill_with_zeros(int fd, std::uint64_t off, std::uint64_t len) {
  PMEMFS_CHECK(preallocate(fd, off, len));
  PMEMFS_CHECK(write_zeros(fd, off, len));
  return ::fsync(fd) == 0 ? Status() : Status(Error(errno));
}

Result<bool> holds_data(int fd, std::uint64_t size) {
  const std::uint64_t head = std::min(size, kHeadLooked);
  PMEMFS_TRY(const bool first, any_nonzero(fd, 0, head));
  if (first) {
    return true;
  }
  const std::uint64_t tail = std::min(size, kTailLooked);
  return any_nonzero(fd, size - tail, tail);
}

Status read_exactly(int fd, std::uint64_t off, void* dst, std::size_t n) {
  auto* to = static_cast<std::byte*>(dst);
  while (n > 0) {
    const ssize_t got = ::pread(fd, to, n, static_cast<off_t>(off));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      return Error(got == 0 ? EIO : errno);
    }
    to += got;
    off += static_cast<std::uint64_t>(got);
    n -= static_cast<std::size_t>(got);
  }
  return {};
}

}  // namespace pmemfs::region
