#include "region/alignment.hpp"

#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "pmemfs/format.hpp"

namespace pmemfs::region {
namespace {

// The kernel's struct xfs_fsop_geom_v1 and its ioctl, whose header is in no package that all have.
struct FsopGeomV1 {
  std::uint32_t blocksize;
  std::uint32_t unused[7];  // sizes of groups, inodes and the log
  std::uint64_t counts[4];
  std::array<std::uint8_t, 16> uuid;
  std::uint32_t sunit;   // in blocks
  std::uint32_t swidth;  // in blocks
  std::uint32_t unused_at_end[5];
};
static_assert(sizeof(FsopGeomV1) == 112);
constexpr unsigned long kFsGeometryV1 = _IOR('X', 100, FsopGeomV1);

}  // namespace

std::optional<XfsGeometry> xfs_geometry(int fd) {
  struct statfs fs {};
  FsopGeomV1 geometry{};
  if (::fstatfs(fd, &fs) != 0 || fs.f_type != XFS_SUPER_MAGIC ||
      ::ioctl(fd, kFsGeometryV1, &geometry) != 0) {
    return std::nullopt;
  }
  return XfsGeometry{geometry.blocksize, geometry.sunit};
}

bool aligns_to_huge_pages(const XfsGeometry& geometry) {
  const std::uint64_t unit = geometry.stripe_unit * geometry.block_size;
  return unit != 0 && unit % format::kFrameSize == 0;
}

bool ext4_aligns_to_huge_pages(std::string_view options) {
  constexpr std::string_view kStripe = "stripe=";
  constexpr std::uint64_t kFrameBlocks = format::kFrameSize / format::kBlockSize;
  while (!options.empty()) {
    const std::string_view option = options.substr(0, options.find(','));
    options.remove_prefix(std::min(options.size(), option.size() + 1));
    std::uint64_t blocks = 0;
    if (option.starts_with(kStripe)) {
      std::from_chars(option.data() + kStripe.size(), option.data() + option.size(), blocks);
      return blocks != 0 && blocks % kFrameBlocks == 0;
    }
  }
  return false;
}

}  // namespace pmemfs::region
