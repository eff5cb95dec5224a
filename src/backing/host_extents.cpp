// The part of HostDir about where a file's blocks lie.
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <span>

#include "backing/host_dir.hpp"
#include "base/file_flags.hpp"

namespace pmemfs::backing {
namespace {

constexpr std::size_t kBatch = 128;  // runs asked for at a time

// Runs whose place is not (yet) one offset of the device.
constexpr std::uint32_t kUnlocated = FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC |
                                     FIEMAP_EXTENT_ENCODED | FIEMAP_EXTENT_NOT_ALIGNED;

// What FS_IOC_FIEMAP works on: a head, and room for kBatch runs behind it.
class Request {
 public:
  Request() : words_((sizeof(struct fiemap) + kBatch * sizeof(struct fiemap_extent)) / 8) {}
  [[nodiscard]] struct fiemap& head() { return *reinterpret_cast<struct fiemap*>(words_.data()); }
  [[nodiscard]] std::span<const struct fiemap_extent> runs() {
    return {head().fm_extents, head().fm_mapped_extents};
  }

 private:
  std::vector<std::uint64_t> words_;
};

HostExtent extent_of(const struct fiemap_extent& run) {
  return {.off = run.fe_logical,
          .len = run.fe_length,
          .physical = run.fe_physical,
          .located = (run.fe_flags & kUnlocated) == 0,
          .unwritten = (run.fe_flags & FIEMAP_EXTENT_UNWRITTEN) != 0};
}

}  // namespace

Result<std::vector<HostExtent>> HostDir::extents(int fd, std::size_t most) {
  std::vector<HostExtent> found;
  std::uint64_t at = 0;
  while (found.size() < most) {
    Request request;
    request.head().fm_start = at;
    request.head().fm_length = FIEMAP_MAX_OFFSET - at;
    request.head().fm_extent_count =
        static_cast<std::uint32_t>(std::min(kBatch, most - found.size()));
    if (::ioctl(fd, FS_IOC_FIEMAP, &request.head()) != 0) {
      return Error(errno == ENOTTY ? EOPNOTSUPP : errno);
    }
    const auto runs = request.runs();
    std::transform(runs.begin(), runs.end(), std::back_inserter(found), extent_of);
    if (runs.empty() || (runs.back().fe_flags & FIEMAP_EXTENT_LAST) != 0) {
      break;
    }
    at = runs.back().fe_logical + runs.back().fe_length;
  }
  return found;
}

void HostDir::set_nodefrag(int fd, bool on) {
  if (!read_only_) {
    (void)base::change_file_flags(fd, FS_XFLAG_NODEFRAG, on);
  }
}

}  // namespace pmemfs::backing
