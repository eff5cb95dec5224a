#include "tools/opened_region.hpp"

#include <fmt/format.h>

#include <utility>

#include "backing/layout.hpp"
#include "tools/failure.hpp"
#include "tools/uuid.hpp"

namespace pmemfs::tools {

std::unique_ptr<OpenedRegion> OpenedRegion::open(const std::string& path, const Options& options) {
  std::unique_ptr<OpenedRegion> opened(new OpenedRegion);
  opened->open_handle(path, options);
  if (opened->handle_->kind() == region::HostKind::kDirectory) {
    opened->open_backing(options.keep_atime);
  }
  store::OpenReport report;
  auto store = store::Store::open(opened->handle_->region(), &report);
  if (!store) {
    fail(kExitFailure, "{}", media_failure(path, store.code()));
  }
  FilesystemOptions filesystem_options = options.filesystem(opened->capacity());
  filesystem_options.collect_orphans = opened->may_collect(report);
  auto filesystem =
      Filesystem::open(std::move(store).value(), opened->backing_.get(), filesystem_options);
  if (!filesystem) {
    fail(kExitFailure, "{}", media_failure(path, filesystem.code()));
  }
  opened->filesystem_ = std::move(filesystem).value();
  opened->warn_of_memory();
  return opened;
}

void OpenedRegion::open_handle(const std::string& path, const Options& options) {
  read_only_ = options.read_only;
  handle_ = open_region(path, read_only_, options.wait_seconds);
  superblock_ = check_superblock(*handle_);
  const std::uint64_t unknown = superblock_.superblock.ro_compat.load() & ~format::kKnownRoCompat;
  if (unknown != 0 && !read_only_) {
    warnings_.push_back(fmt::format(
        "{}: has features that this version ({}) may only read; it is mounted read-only", path,
        PMEMFS_VERSION));
    read_only_ = true;
    handle_.reset();
    handle_ = open_region(path, true, options.wait_seconds);
    superblock_ = check_superblock(*handle_);
  }
  if (superblock_.used_second) {
    warnings_.push_back(
        fmt::format("{}: the first superblock is damaged, the second copy serves", path));
  }
}

void OpenedRegion::open_backing(bool keep_atime) {
  const std::string& path = handle_->path();
  auto host = backing::HostDir::open_at(handle_->data_fd(), read_only_, keep_atime || read_only_);
  if (!host) {
    fail(kExitFailure, "{}/{}: {}; restore the region from a copy", path, region::kDataName,
         host.code() == EUCLEAN ? "its directories are missing or open to others"
                                : error_text(host.code()));
  }
  backing_ = std::move(host).value();
}

bool OpenedRegion::may_collect(const store::OpenReport& report) {
  const std::string& path = handle_->path();
  if (report.damaged_structures != 0) {
    warnings_.push_back(fmt::format("{}: {} damaged structures were found; what they held is lost",
                                    path, report.damaged_structures));
  }
  if (!backing_) {
    return report.may_collect;
  }
  const auto owner = backing::read_owner(handle_->data_fd());
  const bool ours = owner && *owner == superblock_.superblock.uuid;
  if (!ours) {
    warnings_.push_back(
        fmt::format("{}/{}: {}; nothing there is cleaned up", path, region::kDataName,
                    owner ? "belongs to region " + show_uuid(*owner)
                          : std::string("does not say which region it belongs to")));
  }
  return report.may_collect && ours;
}

std::uint64_t OpenedRegion::capacity() {
  if (!backing_) {
    // A device may be larger than the region on it.
    return superblock_.superblock.region_blocks.load() * format::kBlockSize;
  }
  const auto space = backing_->space();
  return space ? space->blocks * space->block_size : 0;
}

void OpenedRegion::warn_of_memory() {
  const format::Superblock& sb = superblock_.superblock;
  if ((sb.flags.load() & format::kSbEmulated) != 0) {
    warnings_.push_back(fmt::format("{}: emulated region on {}: its memory is not persistent",
                                    handle_->path(), handle_->host().filesystem));
  } else if (!handle_->host().map_sync && !handle_->medium_read_only()) {
    warnings_.push_back(fmt::format(
        "{}: made on persistent memory, but {} here is none: nothing can be marked durable",
        handle_->path(), handle_->host().filesystem));
  }
  if (handle_->kind() == region::HostKind::kDevdax) {
    warnings_.push_back(fmt::format(
        "{}: durable files on a DAX device refuse shared mappings: this needs a newer kernel "
        "(expected: Linux 7.4) and a newer pmemfs",
        handle_->path()));
  }
}

RegionFacts OpenedRegion::facts() const {
  return {handle_->path(), std::string(to_string(handle_->kind())), handle_->host().filesystem,
          superblock_.superblock};
}

}  // namespace pmemfs::tools
