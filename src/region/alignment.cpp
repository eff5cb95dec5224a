#include "region/alignment.hpp"

#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>

#include <array>

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

}  // namespace pmemfs::region
