#include "region/devdax_region.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "pmemfs/format.hpp"
#include "region/devdax.hpp"
#include "region/handle_builder.hpp"
#include "region/host_file.hpp"
#include "region/reason.hpp"
#include "region/safe_path.hpp"

namespace pmemfs::region {
namespace {

using base::UniqueFd;
using Handle = Result<std::unique_ptr<RegionHandle>>;

// A device whose node is private, and what was found about it.
struct Device {
  UniqueFd fd;
  Probe host;
  DaxDevice facts;
};

// Unlike a file of a region, a node may be a mount of its own: that is how containers get one.
Result<UniqueFd> open_node(const Place& place, int flags, const std::string& path,
                           std::string& why) {
  int fd = -1;
  do {
    fd = ::openat(place.folder.get(), place.name.c_str(), flags | O_NOFOLLOW | O_CLOEXEC);
  } while (fd < 0 && errno == EINTR);
  if (fd >= 0) {
    return UniqueFd(fd);
  }
  const int code = errno;
  if (code == ELOOP) {
    return because(why, code,
                   fmt::format("{}: is a symbolic link, which is not followed here", path));
  }
  if (std::string reason = why_no_node(place.name, path); code == ENXIO && !reason.empty()) {
    return because(why, ENODEV, std::move(reason));
  }
  const std::string advice = code == EACCES || code == EPERM ? "; run it as root" : "";
  return because(why, code, fmt::format("{}: {}{}", path, std::strerror(code), advice));
}

// The lock belongs to the node, not to the device. In devtmpfs, which the whole system shares, all
// who name the device find the same node.
Status check_shared_node(const Probe& host, const std::string& path, std::string& why) {
  if (host.filesystem == "devtmpfs") {
    return {};
  }
  return because(
      why, EPERM,
      fmt::format("{}: is a device node in {}, and not the one that all programs share, so that it "
                  "cannot be locked; use the node in the system's /dev (mount --bind it here)",
                  path, host.filesystem));
}

Result<Device> open_device(const std::string& path, int flags, std::string& why) {
  PMEMFS_TRY(const Place place, open_place(path, why));
  PMEMFS_CHECK(check_parents(place.folder.get(), why));
  Device device;
  PMEMFS_TRY(device.fd, open_node(place, flags, path, why));
  struct stat st {};
  if (::fstat(device.fd.get(), &st) != 0) {
    return because_errno(why, errno, path);
  }
  PMEMFS_TRY(device.host, probe_fd(device.fd.get(), path, why));
  if (device.host.kind != HostKind::kDevdax) {
    return because(why, EINVAL, fmt::format("{}: is not a DAX device any more; try again", path));
  }
  PMEMFS_CHECK(check_private_node(device.fd.get(), path, why));
  PMEMFS_CHECK(check_shared_node(device.host, path, why));
  PMEMFS_TRY(device.facts, read_dax_device(st.st_rdev, path, why));
  return device;
}

Result<bool> any_nonzero(const Device& device, std::uint64_t off, std::uint64_t n) {
  PMEMFS_TRY(const DaxView view, DaxView::map(device.fd.get(), device.facts, off, n));
  const bool any =
      std::any_of(view.data(), view.data() + n, [](std::byte b) { return b != std::byte{0}; });
  return view.lost() ? Result<bool>(Error(EIO)) : Result<bool>(any);
}

// As holds_data() of a file.
Result<bool> device_holds_data(const Device& device) {
  const std::uint64_t size = device.facts.size;
  PMEMFS_TRY(const bool head, any_nonzero(device, 0, std::min(size, kHeadLooked)));
  if (head) {
    return true;
  }
  const std::uint64_t tail = std::min(size, kTailLooked);
  return any_nonzero(device, size - tail, tail);
}

// All of the device, or as much of it as is asked for.
Result<std::uint64_t> size_for(const Device& device, const std::string& path, std::uint64_t wanted,
                               std::string& why) {
  const std::uint64_t size = wanted == 0 ? device.facts.size : wanted;
  if (size > device.facts.size) {
    return because(why, EINVAL,
                   fmt::format("{}: has only {} bytes; leave out --size to use all of them", path,
                               device.facts.size));
  }
  PMEMFS_CHECK(check_size(path, size, why));
  return size;
}

Handle build(Device device, const std::string& path, std::uint64_t size, bool read_only,
             std::string& why) {
  device.host.filesystem = device.facts.persistent ? "persistent memory" : "volatile memory";
  return HandleBuilder::map(path, std::move(device.host), std::move(device.fd), size, read_only,
                            why);
}

}  // namespace

Handle create_on_device(const std::string& path, const CreateOptions& options, std::string& why) {
  PMEMFS_TRY(Device device, open_device(path, O_RDWR, why));
  if (!device.facts.persistent && !options.emulate) {
    return because(why, ENOTSUP,
                   fmt::format("{}: is memory of no NVDIMM, which forgets when the power goes; use "
                               "a device of an NVDIMM, or --emulate to simulate one",
                               path));
  }
  PMEMFS_TRY(const std::uint64_t size, size_for(device, path, options.size, why));
  PMEMFS_CHECK(lock_for_new(device.fd.get(), path, why));
  const Result<bool> used = device_holds_data(device);
  if (!used) {
    return because(
        why, used.code(),
        fmt::format("{}: {}: {}", path,
                    used.code() == EIO ? "has memory that cannot be read" : "cannot be mapped",
                    std::strerror(used.code())));
  }
  if (used.value() && !options.force) {
    return because(why, EEXIST, fmt::format("{}: holds data; --force overwrites all of it", path));
  }
  Handle handle = build(std::move(device), path, size, false, why);
  if (handle) {
    // Both superblocks of a former region, and what others recognise a filesystem by. The rest may
    // stay: nothing refers to it, and a file never shows what it has not written.
    (*handle)->region().stream_zeros(ByteOff(0), format::kFrameSize);
    (*handle)->region().fence();
    if ((*handle)->region().media_events() != 0) {
      return because(
          why, EIO,
          fmt::format("{}: has memory that cannot be written: {}", path, std::strerror(EIO)));
    }
  }
  return handle;
}

Handle open_on_device(const std::string& path, const OpenOptions& options, std::string& why) {
  // For writing even when read-only: the exclusive lock needs it.
  PMEMFS_TRY(Device device, open_device(path, O_RDWR, why));
  PMEMFS_CHECK(lock_region(device.fd.get(), false, options.wait_seconds, path, why));
  const std::uint64_t size = device.facts.size;
  if (!check_size(path, size, why)) {
    why = fmt::format(
        "{}: is not a pmemfs region: its size of {} bytes is none that a region can have", path,
        size);
    return Error(EUCLEAN);
  }
  return build(std::move(device), path, size, options.read_only, why);
}

Status peek_on_device(const std::string& path, std::uint64_t off, void* dst, std::size_t n,
                      std::string& why) {
  PMEMFS_TRY(const Device device, open_device(path, O_RDONLY, why));
  const Result<DaxView> view = DaxView::map(device.fd.get(), device.facts, off, n);
  if (!view) {
    return because_errno(why, view.code(), path);
  }
  std::memcpy(dst, view->data(), n);
  return view->lost() ? because_errno(why, EIO, path) : Status();
}

}  // namespace pmemfs::region
