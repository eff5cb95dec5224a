#include "region/region_handle.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "pmemfs/format.hpp"
#include "region/devdax.hpp"
#include "region/devdax_region.hpp"
#include "region/exports.hpp"
#include "region/handle_builder.hpp"
#include "region/host_file.hpp"
#include "region/reason.hpp"
#include "region/safe_path.hpp"

namespace pmemfs::region {
namespace {

using base::UniqueFd;

// The folder that holds the region file, after the checks of who can write there.
struct Site {
  UniqueFd folder;
  std::string name;   // of the region file in it
  std::string shown;  // of the region file, for people
};

Result<Site> site_of(const std::string& path, HostKind kind, std::string& why) {
  Site site;
  if (kind == HostKind::kDirectory) {
    PMEMFS_TRY(site.folder, open_directory(path, why));
    PMEMFS_CHECK(check_private_directory(site.folder.get(), why));
    PMEMFS_CHECK(check_parents_above(site.folder.get(), why));
    site.name = kMetadataName;
    site.shown = fmt::format("{}/{}", path, kMetadataName);
    return site;
  }
  PMEMFS_TRY(Place place, open_place(path, why));
  PMEMFS_CHECK(check_parents(place.folder.get(), why));
  site.folder = std::move(place.folder);
  site.name = std::move(place.name);
  site.shown = path;
  return site;
}

// The region file, for writing where that is possible: also a read-only open takes the exclusive
// lock then.
Result<UniqueFd> open_region_file(const Site& site, const std::string& path, HostKind kind,
                                  bool read_only, bool& medium_read_only, std::string& why) {
  medium_read_only = false;
  Result<UniqueFd> file = open_beneath(site.folder.get(), site.name, O_RDWR, 0, site.shown, why);
  if (!file && file.code() == EROFS) {
    if (!read_only) {
      return because(
          why, EROFS,
          fmt::format("{}: lies on a read-only filesystem; mount it read-only (-o ro)", path));
    }
    medium_read_only = true;
    file = open_beneath(site.folder.get(), site.name, O_RDONLY, 0, site.shown, why);
  }
  if (!file && file.code() == ENOENT && kind == HostKind::kDirectory) {
    return because(why, EUCLEAN,
                   fmt::format("{0}: is not a pmemfs region (it has no file '{1}'); make one with "
                               "mkfs.pmemfs {0}",
                               path, kMetadataName));
  }
  if (file) {
    PMEMFS_CHECK(check_private_file(file->get(), site.shown, why));
  }
  return file;
}

Result<std::uint64_t> size_of(int fd, const std::string& path, std::string& why) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) {
    return because_errno(why, errno, path);
  }
  return static_cast<std::uint64_t>(st.st_size);
}

}  // namespace

Status check_size(const std::string& path, std::uint64_t size, std::string& why) {
  if (size < format::kMinRegionSize) {
    return because(
        why, EINVAL,
        fmt::format("{}: {} bytes are too small for a region, which needs at least 16 MiB", path,
                    size));
  }
  if (size > format::kMaxRegionSize) {
    return because(
        why, EFBIG,
        fmt::format("{}: {} bytes are more than the 64 TiB that a region may have", path, size));
  }
  if (size % format::kBlockSize != 0) {
    return because(why, EINVAL,
                   fmt::format("{}: {} bytes are not a multiple of 4096; truncate -s {} would do",
                               path, size, size / format::kBlockSize * format::kBlockSize));
  }
  return {};
}

Status lock_region(int fd, bool shared, unsigned wait_seconds, const std::string& path,
                   std::string& why) {
  const Status locked =
      lock_file(fd, shared ? LockMode::kShared : LockMode::kExclusive, wait_seconds);
  if (locked.code() == EBUSY) {
    return because(why, EBUSY,
                   fmt::format("{}: in use by another pmemfs program; unmount it first", path));
  }
  if (!locked) {
    return because(why, locked.code(),
                   fmt::format("{}: cannot be locked: {}", path, std::strerror(locked.code())));
  }
  return {};
}

Status lock_for_new(int fd, const std::string& path, std::string& why) {
  PMEMFS_CHECK(lock_region(fd, false, 0, path, why));
  if (export_lives(fd, 0, kExportKeys)) {
    return because(
        why, ETXTBSY,
        fmt::format("{}: a virtual machine still maps files of it; shut the machine down "
                    "first",
                    path));
  }
  return {};
}

Result<HostKind> region_kind(const std::string& path, std::string& why) {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) {
    const int code = errno;
    if (std::string reason = why_no_node(path.substr(path.rfind('/') + 1), path);
        code == ENOENT && !reason.empty()) {
      return because(why, ENODEV, std::move(reason));
    }
    return because_errno(why, code, path);
  }
  if (S_ISDIR(st.st_mode)) {
    return HostKind::kDirectory;
  }
  if (S_ISREG(st.st_mode)) {
    return HostKind::kFile;
  }
  if (S_ISCHR(st.st_mode) && is_dax_device(st.st_rdev)) {
    return HostKind::kDevdax;
  }
  if (S_ISCHR(st.st_mode)) {
    return because(
        why, ENODEV,
        fmt::format("{}: is a character device, but not a DAX device such as /dev/dax0.0; use one, "
                    "or a directory or file on an ext4 or xfs filesystem with DAX",
                    path));
  }
  if (S_ISBLK(st.st_mode)) {
    return because(
        why, ENODEV,
        fmt::format("{}: is a block device; make an ext4 or xfs filesystem on it, mount that "
                    "with -o dax=always and use a directory there",
                    path));
  }
  return because(why, ENODEV, fmt::format("{}: is neither a directory nor a regular file", path));
}

Result<UniqueFd> open_data(int directory, const std::string& path, std::string& why) {
  const std::string shown = fmt::format("{}/{}", path, kDataName);
  Result<UniqueFd> data = open_beneath(directory, kDataName, O_RDONLY | O_DIRECTORY, 0, shown, why);
  if (!data) {
    return Error(data.code() == ENOENT ? EUCLEAN : data.code());
  }
  PMEMFS_CHECK(check_private_directory(data->get(), why));
  return data;
}

Result<std::unique_ptr<RegionHandle>> HandleBuilder::build(const std::string& path,
                                                           UniqueFd directory, UniqueFd data,
                                                           UniqueFd file, bool read_only,
                                                           std::string& why) {
  std::unique_ptr<RegionHandle> handle(new RegionHandle());
  PMEMFS_TRY(const std::uint64_t size, size_of(file.get(), path, why));
  PMEMFS_TRY(handle->host_, probe_fd(file.get(), path, why));
  if (directory) {
    handle->host_.kind = HostKind::kDirectory;
  }
  handle->path_ = path;
  handle->directory_ = std::move(directory);
  handle->data_ = std::move(data);
  handle->file_ = std::move(file);
  PMEMFS_CHECK(map_file(*handle, size, read_only, why));
  return handle;
}

Result<std::unique_ptr<RegionHandle>> HandleBuilder::map(const std::string& path, Probe host,
                                                         UniqueFd device, std::uint64_t size,
                                                         bool read_only, std::string& why) {
  std::unique_ptr<RegionHandle> handle(new RegionHandle());
  handle->path_ = path;
  handle->host_ = std::move(host);
  handle->file_ = std::move(device);
  PMEMFS_CHECK(map_file(*handle, size, read_only, why));
  return handle;
}

Status HandleBuilder::map_file(RegionHandle& handle, std::uint64_t size, bool read_only,
                               std::string& why) {
  MapOptions options;
  options.map_sync = handle.host_.map_sync;
  options.read_only = read_only;
  options.growable = handle.kind() != HostKind::kDevdax;
  options.granularity = handle.host_.granularity;
  options.device_alignment = handle.host_.alignment;
  auto region = MappedRegion::map(handle.file_.get(), size, options);
  if (!region) {
    return because(
        why, region.code(),
        fmt::format("{}: cannot be mapped: {}", handle.path_, std::strerror(region.code())));
  }
  handle.region_ = std::move(region).value();
  return {};
}

Result<std::unique_ptr<RegionHandle>> open(const std::string& path, const OpenOptions& options,
                                           std::string& why) {
  PMEMFS_TRY(const HostKind kind, region_kind(path, why));
  if (kind == HostKind::kDevdax) {
    return open_on_device(path, options, why);
  }
  PMEMFS_TRY(Site site, site_of(path, kind, why));
  bool medium_read_only = false;
  PMEMFS_TRY(UniqueFd file,
             open_region_file(site, path, kind, options.read_only, medium_read_only, why));
  PMEMFS_CHECK(lock_region(file.get(), medium_read_only, options.wait_seconds, path, why));
  PMEMFS_TRY(const std::uint64_t size, size_of(file.get(), path, why));
  if (!check_size(site.shown, size, why)) {
    why = fmt::format(
        "{}: is not a pmemfs region: its size of {} bytes is none that a region can have",
        site.shown, size);
    return Error(EUCLEAN);
  }
  UniqueFd data;
  if (kind == HostKind::kDirectory) {
    PMEMFS_TRY(data, open_data(site.folder.get(), path, why));
  } else {
    site.folder.reset();
  }
  return HandleBuilder::build(path, std::move(site.folder), std::move(data), std::move(file),
                              options.read_only, why);
}

Status peek(const std::string& path, std::uint64_t off, void* dst, std::size_t n,
            std::string& why) {
  PMEMFS_TRY(const HostKind kind, region_kind(path, why));
  if (kind == HostKind::kDevdax) {
    return peek_on_device(path, off, dst, n, why);
  }
  PMEMFS_TRY(const Site site, site_of(path, kind, why));
  PMEMFS_TRY(const UniqueFd file,
             open_beneath(site.folder.get(), site.name, O_RDONLY, 0, site.shown, why));
  PMEMFS_CHECK(check_private_file(file.get(), site.shown, why));
  const Status got = read_exactly(file.get(), off, dst, n);
  if (!got) {
    return because_errno(why, got.code(), site.shown);
  }
  return {};
}

}  // namespace pmemfs::region
