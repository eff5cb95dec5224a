// The half of HostDir that works on open files.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <utility>

#include "backing/host_dir.hpp"
#include "backing/touch.hpp"
#include "base/descriptor.hpp"

namespace pmemfs::backing {
namespace {

// Calls f until it is done with n bytes, meets an end (0) or fails. What was done before a failure
// counts.
template <typename F>
Result<std::size_t> repeat(std::size_t n, F f) {
  std::size_t done = 0;
  while (done < n) {
    const ssize_t step = f(done);
    if (step > 0) {
      done += static_cast<std::size_t>(step);
    } else if (step == 0) {
      break;
    } else if (errno != EINTR) {
      if (done > 0) {
        break;
      }
      return Error(errno);
    }
  }
  return done;
}

// Calls f, which returns 0 or sets errno, until no signal interrupts it.
template <typename F>
Status retry(F f) {
  while (f() != 0) {
    if (errno != EINTR) {
      return Error(errno);
    }
  }
  return {};
}

constexpr std::size_t kMostParts = 512;  // of one system call; the kernel takes 1024

// preadv(2) or pwritev(2).
using Transfer = ssize_t (*)(int fd, const iovec* parts, int count, off_t off);

// All of the batch, or as much as there is before an end. Changes the batch.
Result<std::size_t> transfer_batch(Transfer transfer, int fd, std::uint64_t off,
                                   std::span<iovec> batch) {
  std::size_t asked = 0;
  for (const iovec& part : batch) {
    asked += part.iov_len;
  }
  return repeat(asked, [&, before = std::size_t{0}](std::size_t done) mutable {
    for (std::size_t step = done - std::exchange(before, done); step > 0;) {
      iovec& first = batch.front();
      const std::size_t part = std::min(step, first.iov_len);
      first = {static_cast<std::byte*>(first.iov_base) + part, first.iov_len - part};
      step -= part;
      if (first.iov_len == 0) {
        batch = batch.subspan(1);
      }
    }
    return transfer(fd, batch.data(), static_cast<int>(batch.size()),
                    static_cast<off_t>(off + done));
  });
}

iovec iovec_of(std::span<std::byte> part) {
  return {part.data(), part.size()};
}
iovec iovec_of(std::span<const std::byte> part) {
  return {const_cast<std::byte*>(part.data()), part.size()};  // NOLINT(*-const-cast): to be read
}

template <typename Byte>
Result<std::size_t> transfer_parts(Transfer transfer, int fd, std::uint64_t off,
                                   std::span<const std::span<Byte>> parts) {
  std::size_t done = 0;
  while (!parts.empty()) {
    std::array<iovec, kMostParts> batch;  // NOLINT(*-member-init): filled as far as it is used
    const std::size_t count = std::min(parts.size(), batch.size());
    std::size_t asked = 0;
    for (std::size_t i = 0; i < count; ++i) {
      batch[i] = iovec_of(parts[i]);
      asked += parts[i].size();
    }
    const auto got = transfer_batch(transfer, fd, off + done, std::span(batch).first(count));
    if (!got) {
      return done > 0 ? Result<std::size_t>(done) : got;
    }
    done += *got;
    if (*got < asked) {
      break;
    }
    parts = parts.subspan(count);
  }
  return done;
}

struct timespec timespec_of(Timestamp t) {
  return {t.sec, static_cast<long>(t.nsec)};
}

}  // namespace

Result<std::size_t> HostDir::read(int fd, std::uint64_t off, void* dst, std::size_t n) {
  auto* to = static_cast<std::byte*>(dst);
  return repeat(n, [=](std::size_t done) {
    return ::pread(fd, to + done, n - done, static_cast<off_t>(off + done));
  });
}

Result<std::size_t> HostDir::read_parts(int fd, std::uint64_t off,
                                        std::span<const std::span<std::byte>> parts) {
  return transfer_parts(::preadv, fd, off, parts);
}

// By a description of its own: the flag is one of those, and others read by this one.
Result<std::size_t> HostDir::read_parts_quietly(int fd, std::uint64_t off,
                                                std::span<const std::span<std::byte>> parts) {
  const auto quiet = base::open_again(fd, O_RDONLY | O_NOATIME | O_NONBLOCK);
  return read_parts(quiet ? quiet->get() : fd, off, parts);
}

Result<std::size_t> HostDir::write(int fd, std::uint64_t off, const void* src, std::size_t n) {
  if (read_only_) {
    return Error(EROFS);
  }
  const auto* from = static_cast<const std::byte*>(src);
  return repeat(n, [=](std::size_t done) {
    return ::pwrite(fd, from + done, n - done, static_cast<off_t>(off + done));
  });
}

Result<std::size_t> HostDir::write_parts(int fd, std::uint64_t off,
                                         std::span<const std::span<const std::byte>> parts) {
  return read_only_ ? Result<std::size_t>(Error(EROFS)) : transfer_parts(::pwritev, fd, off, parts);
}

Result<std::size_t> HostDir::copy(int from, std::uint64_t from_off, int to, std::uint64_t to_off,
                                  std::size_t n) {
  if (read_only_) {
    return Error(EROFS);
  }
  return repeat(n, [=](std::size_t done) {
    auto in = static_cast<off_t>(from_off + done);
    auto out = static_cast<off_t>(to_off + done);
    return ::copy_file_range(from, &in, to, &out, n - done, 0);
  });
}

Status HostDir::truncate(int fd, std::uint64_t size) {
  if (read_only_) {
    return Error(EROFS);
  }
  return retry([=] { return ::ftruncate(fd, static_cast<off_t>(size)); });
}

Status HostDir::allocate(int fd, int mode, std::uint64_t off, std::uint64_t len) {
  if (read_only_) {
    return Error(EROFS);
  }
  return retry(
      [=] { return ::fallocate(fd, mode, static_cast<off_t>(off), static_cast<off_t>(len)); });
}

Result<std::uint64_t> HostDir::seek(int fd, std::uint64_t off, int whence) {
  const off_t found = ::lseek(fd, static_cast<off_t>(off), whence);
  if (found < 0) {
    return Error(errno);
  }
  return static_cast<std::uint64_t>(found);
}

Status HostDir::set_times(int fd, Timestamp atime, Timestamp mtime) {
  if (read_only_) {
    return Error(EROFS);
  }
  const struct timespec times[2] = {timespec_of(atime), timespec_of(mtime)};
  return ::futimens(fd, times) == 0 ? Status() : Status(Error(errno));
}

Status HostDir::touch(int fd, std::uint64_t off, std::uint64_t len) {
  return read_only_ ? Status(Error(EROFS)) : touch_pages(fd, off, len);
}

Status HostDir::sync_file(int fd) {
  return retry([=] { return ::fsync(fd); });
}

Status HostDir::take_lease(int fd) {
  // The default, SIGIO, would end the process when somebody breaks the lease.
  if (::fcntl(fd, F_SETSIG, SIGURG) != 0) {
    return Error(errno);
  }
  if (::fcntl(fd, F_SETLEASE, F_WRLCK) == 0) {
    return {};
  }
  return Error(errno == EAGAIN ? EBUSY : errno);
}

bool HostDir::lease_held(int fd) {
  return ::fcntl(fd, F_GETLEASE) == F_WRLCK;
}

void HostDir::drop_lease(int fd) {
  ::fcntl(fd, F_SETLEASE, F_UNLCK);
}

}  // namespace pmemfs::backing
