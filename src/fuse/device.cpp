#include "fuse/device.hpp"

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstdint>

namespace pmemfs::fuse {
namespace {

using base::UniqueFd;

// struct fuse_backing_map of kernels ≥ 6.9.
struct BackingMap {
  std::int32_t fd;
  std::uint32_t flags;
  std::uint64_t padding;
};
static_assert(sizeof(BackingMap) == 16);
constexpr unsigned long kBackingOpen = _IOW(FUSE_DEV_IOC_MAGIC, 1, BackingMap);
constexpr unsigned long kBackingClose = _IOW(FUSE_DEV_IOC_MAGIC, 2, std::uint32_t);

}  // namespace

Result<UniqueFd> open_device() {
  UniqueFd fd(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (!fd) {
    return Error(errno);
  }
  return fd;
}

Result<UniqueFd> clone_device(int fd) {
  PMEMFS_TRY(UniqueFd clone, open_device());
  auto source = static_cast<std::uint32_t>(fd);
  if (::ioctl(clone.get(), FUSE_DEV_IOC_CLONE, &source) != 0) {
    return Error(errno);
  }
  return clone;
}

Status set_nonblocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
    return Error(errno);
  }
  return {};
}

Result<int> register_backing(int device, int backing_fd) {
  BackingMap map{backing_fd, 0, 0};
  const int id = ::ioctl(device, kBackingOpen, &map);
  if (id < 0) {
    return Error(errno);
  }
  return id;
}

void unregister_backing(int device, int id) {
  auto arg = static_cast<std::uint32_t>(id);
  ::ioctl(device, kBackingClose, &arg);
}

Status probe_backing(int device) {
  const UniqueFd file(::memfd_create("pmemfs-probe", MFD_CLOEXEC));
  if (!file) {
    return Error(errno);
  }
  PMEMFS_TRY(const int id, register_backing(device, file.get()));
  unregister_backing(device, id);
  return {};
}

}  // namespace pmemfs::fuse
