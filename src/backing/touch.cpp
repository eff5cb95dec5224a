#include "backing/touch.hpp"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>

#include "base/media_faults.hpp"

namespace pmemfs::backing {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kWindow = 64ULL << 20U;  // mapped at a time

class Window {
 public:
  Window(int fd, std::uint64_t off, std::uint64_t len)
      : len_(len),
        at_(::mmap(nullptr, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, static_cast<off_t>(off))) {
  }
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;
  ~Window() {
    if (ok()) {
      ::munmap(at_, len_);
    }
  }
  [[nodiscard]] bool ok() const { return at_ != MAP_FAILED; }
  [[nodiscard]] std::byte* begin() const { return static_cast<std::byte*>(at_); }

 private:
  std::uint64_t len_;
  void* at_;
};

// Why a page could not be had: a fault does not tell.
int fault_reason(int fd) {
  struct statvfs fs {};
  return ::fstatvfs(fd, &fs) == 0 && fs.f_bavail == 0 ? ENOSPC : EIO;
}

// Faults the pages in for writing, which turns what would be a SIGBUS below into an error. Kernels
// before 5.14 do not know it (EINVAL) and go without.
Status populate(int fd, std::byte* at, std::uint64_t len) {
  while (::madvise(at, len, MADV_POPULATE_WRITE) != 0) {
    if (errno == EINVAL) {
      return {};
    }
    if (errno == EFAULT || errno == EHWPOISON) {
      return Error(fault_reason(fd));
    }
    if (errno != EINTR && errno != EAGAIN) {
      return Error(errno);
    }
  }
  return {};
}

Status touch_window(int fd, std::uint64_t off, std::uint64_t len) {
  const Window window(fd, off, len);
  if (!window.ok()) {
    return Error(errno);
  }
  PMEMFS_CHECK(populate(fd, window.begin(), len));
  return touch_mapping(window.begin(), len);
}

}  // namespace

Status touch_mapping(std::byte* begin, std::uint64_t len) {
  base::MediaWatch watch;
  PMEMFS_CHECK(watch.start(begin, (len + kPage - 1) / kPage * kPage, kPage));
  // A zero that the compiler cannot see: it may turn a visible fetch_or(p, 0) into a load, which
  // writes nothing.
  const volatile std::uint64_t zero = 0;
  for (std::uint64_t page = 0; page < len; page += kPage) {
    void* word = begin + page;
    __atomic_fetch_or(static_cast<std::uint64_t*>(word), zero, __ATOMIC_RELAXED);
  }
  return watch.events() == 0 ? Status() : Status(Error(EIO));
}

Status touch_pages(int fd, std::uint64_t off, std::uint64_t len) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) {
    return Error(errno);
  }
  const auto size = static_cast<std::uint64_t>(st.st_size);
  if (off > size || len > size - off) {
    return Error(EINVAL);
  }
  const std::uint64_t end = off + len;
  off = off / kPage * kPage;
  while (off < end) {
    const std::uint64_t step = std::min(end - off, kWindow);
    PMEMFS_CHECK(touch_window(fd, off, step));
    off += step;
  }
  return {};
}

}  // namespace pmemfs::backing
