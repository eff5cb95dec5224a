#include "region/readable.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/unique_fd.hpp"
#include "pmemfs/format.hpp"

namespace pmemfs::region {
namespace {

constexpr std::uint64_t kPage = format::kBlockSize;
constexpr std::uint64_t kStep = format::kFrameSize;

// Only EFAULT is about the memory that is read. A page alone tells for sure: of more, the kernel
// may copy less than it could.
bool gives(int sink, const std::byte* page) {
  return ::pwrite(sink, page, kPage, 0) >= 0 || errno != EFAULT;
}

}  // namespace

std::uint64_t readable_bytes(const std::byte* begin, std::uint64_t n) {
  thread_local const base::UniqueFd kSink(::memfd_create("pmemfs-readable", MFD_CLOEXEC));
  for (std::uint64_t at = 0; kSink && at < n;) {
    const ssize_t done = ::pwrite(kSink.get(), begin + at, std::min(kStep, n - at), 0);
    at += done > 0 ? static_cast<std::uint64_t>(done) / kPage * kPage : 0;
    if (at < n && done < static_cast<ssize_t>(kStep)) {
      if (!gives(kSink.get(), begin + at)) {
        return at;
      }
      at += kPage;
    }
  }
  return n;
}

}  // namespace pmemfs::region
